"""What a bridge that is gone had fetched and not published is offered to the others, soon after it is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.parked_poll import STOP_TOPIC
from bridge.succession import LOOKS_APART, QUICK_LOOKS, Succession
from bridge.unclaimed import Unclaimed
from procos.domain.errors import EngineUnreachableError
from procos.domain.external_task import Topic
from procos.engine.subscription import Subscription
from procos.ledger_keys import State
from procos.testing import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

LOCK = timedelta(seconds=300)
GONE, ALIVE = "gone/ai", "alive/ai"


@pytest.fixture
def neighbour(registry: FakeRegistry) -> FakeRegistry:
    """The registry of another bridge, which runs, beside one that is gone."""
    neighbour = FakeRegistry(registry.register, holders=[GONE, ALIVE])
    neighbour.hold_replica("alive")
    registry.hold_replica("bridge")
    return neighbour


@pytest.fixture
def heir(engine: FakeEngine, ledger: FakeLedger, registry: FakeRegistry, neighbour: FakeRegistry) -> Succession:  # noqa: ARG001  # it runs
    unclaimed = Unclaimed(engine, ledger, has_in_hand=lambda _: False, lock_duration=LOCK)
    return Succession(engine, registry, unclaimed, ["ai", "generic"])


@pytest.fixture
def lock(engine: FakeEngine) -> Callable[..., ExternalTask]:
    """Let a task arrive and be fetched, by a bridge that does no more with it."""

    def lock_one(holder: str = GONE) -> ExternalTask:
        engine.add()
        subscription = Subscription(topic=Topic("ai_query"), lock_duration=LOCK)
        return engine.fetch_and_lock(holder, [subscription], max_tasks=10, wait=timedelta(0))[-1]

    return lock_one


def is_free(engine: FakeEngine, task: ExternalTask) -> bool:
    return engine.find(task.id).lease is None


class TestSuccession:
    def test_releases_in_its_second_look_what_a_bridge_that_is_gone_has_left_and_nothing_else(
        self, heir: Succession, engine: FakeEngine, lock: Callable[..., ExternalTask]
    ) -> None:
        tasks = [lock(GONE), lock(ALIVE), lock("bridge/ai"), lock("stranger")]
        heir.turn()
        assert not any(is_free(engine, task) for task in tasks)
        heir.turn()
        assert [is_free(engine, task) for task in tasks] == [True, False, False, False]

    def test_has_a_reservation_published_that_nobody_will_publish(
        self,
        heir: Succession,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        neighbour: FakeRegistry,
        clock: FrozenClock,
    ) -> None:
        refs = []
        for holder in (GONE, ALIVE):
            engine.add()
            refs.append(in_flight(holder=holder))
            ledger.entries[refs[-1].external_task_id].state = State.RESERVED
        heir.turn()
        assert all(engine.find(ref.external_task_id).lease for ref in refs)
        clock.advance(seconds=10)
        neighbour.hold_replica("alive")
        heir.turn()
        assert [engine.find(ref.external_task_id).lease is None for ref in refs] == [True, False]

    def test_leaves_what_is_under_way(
        self, heir: Succession, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight(holder=GONE)
        for _ in range(LOOKS_APART + 2):
            heir.turn()
        assert engine.find(ref.external_task_id).lease is not None

    def test_ends_the_poll_that_still_waits_at_the_engine_for_nobody(
        self, heir: Succession, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        polls: list[tuple[str, Topic]] = []
        fetch = engine.fetch_and_lock

        def noted(holder: str, subscriptions: list[Subscription], **options: object) -> object:
            polls.append((holder, subscriptions[0].topic))
            return fetch(holder, subscriptions, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(engine, "fetch_and_lock", noted)
        for _ in range(3):
            heir.turn()
        assert polls == [(GONE, STOP_TOPIC)]

    def test_looks_a_few_times_at_once_and_seldom_after_that(
        self, heir: Succession, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        in_flight(holder=GONE)
        looks = []
        for _ in range(2 * LOOKS_APART):
            before = engine.calls.count("held_by")
            heir.turn()
            looks.append(engine.calls.count("held_by") > before)
        assert [turn for turn, looked in enumerate(looks) if looked] == [*range(QUICK_LOOKS), LOOKS_APART]

    def test_begins_anew_where_the_engine_did_not_answer(
        self, heir: Succession, engine: FakeEngine, lock: Callable[..., ExternalTask]
    ) -> None:
        task = lock(GONE)
        engine.is_down = True
        for _ in range(QUICK_LOOKS):
            with pytest.raises(EngineUnreachableError):
                heir.turn()
        engine.is_down = False
        heir.turn()
        heir.turn()
        assert is_free(engine, task)

    def test_forgets_a_worker_id_that_holds_nothing_any_more(self, heir: Succession, registry: FakeRegistry) -> None:
        for _ in range(LOOKS_APART):
            heir.turn()
        assert GONE in registry.holders()
        heir.turn()
        assert registry.holders() == {"bridge/ai", ALIVE}

    def test_has_nothing_to_do_while_every_bridge_runs(
        self, heir: Succession, registry: FakeRegistry, engine: FakeEngine
    ) -> None:
        registry.forget_holder(GONE)
        heir.turn()
        assert engine.calls == []
