"""What is ours at the engine and nobody works on is dispatched; what a flush of Redis took is written again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.fetched import dispatch_of
from bridge.orphans import Holders, Orphans
from bridge.unclaimed import Unclaimed
from procos.domain.external_task import Topic
from procos.engine.subscription import Subscription
from procos.ledger_keys import State, replica_of
from procos.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.testing import FakeEngine, FakeLedger, FakeRegistry, FrozenClock

LOCK = timedelta(seconds=300)
OURS = Holders(replica_id="bridge", queues=("ai", "generic"), groups={"ai": ("limit.crm",)})


@pytest.fixture
def in_hand() -> set[ExternalTaskId]:
    return set()


@pytest.fixture
def orphans(engine: FakeEngine, ledger: FakeLedger, registry: FakeRegistry, in_hand: set[ExternalTaskId]) -> Orphans:
    registry.hold_replica("bridge")
    registry.begin_epoch()
    unclaimed = Unclaimed(engine, ledger, has_in_hand=in_hand.__contains__, lock_duration=LOCK)
    return Orphans(engine, ledger, registry, unclaimed, OURS, lock_duration=LOCK)


@pytest.fixture
def lock(engine: FakeEngine) -> Callable[..., ExternalTask]:
    """Let a task arrive and be fetched, and the answer be lost."""

    def lock_one(holder: str = "bridge/ai") -> ExternalTask:
        engine.add()
        subscription = Subscription(topic=Topic("ai_query"), lock_duration=LOCK)
        return engine.fetch_and_lock(holder, [subscription], max_tasks=10, wait=timedelta(0))[-1]

    return lock_one


def is_free(engine: FakeEngine, task: ExternalTask) -> bool:
    return engine.find(task.id).lease is None


class TestOrphans:
    def test_offers_what_the_ledger_has_not_known_twice(
        self, orphans: Orphans, engine: FakeEngine, lock: Callable[..., ExternalTask]
    ) -> None:
        task = lock()
        orphans.turn()
        assert not is_free(engine, task)
        orphans.turn()
        assert is_free(engine, task)

    @pytest.mark.parametrize("holder", ["bridge/limit.crm/ai", "bridge/topic.gone/ai"])
    def test_offers_what_was_fetched_for_topics_with_caps_of_now_or_before(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        registry: FakeRegistry,
        lock: Callable[..., ExternalTask],
        holder: str,
    ) -> None:
        task = lock(holder)
        registry.register_holder("bridge/topic.gone/ai")
        orphans.begin()
        orphans.turn()
        assert is_free(engine, task)

    def test_leaves_what_is_in_hand(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        lock: Callable[..., ExternalTask],
        in_hand: set[ExternalTaskId],
    ) -> None:
        task = lock()
        in_hand.add(task.id)
        orphans.turn()
        orphans.turn()
        assert not is_free(engine, task)

    def test_leaves_what_is_in_flight_and_what_backs_off(
        self, orphans: Orphans, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        orphans.turn()
        ledger.claim_report(ref, "ai")
        engine.fail(ref.external_task_id, ref.holder, message="", details="", retries=2, retry_in=timedelta(hours=1))
        ledger.back_off(ref, "ai", timedelta(hours=1), same_try=False)
        orphans.turn()
        orphans.turn()
        assert engine.find(ref.external_task_id).lease is not None

    @pytest.mark.parametrize("seconds", [0, 160, 600])
    @pytest.mark.parametrize("is_flushed", [False, True])
    def test_leaves_a_retry_that_is_not_due_however_late_its_entry_was_written(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        ledger: FakeLedger,
        lock: Callable[..., ExternalTask],
        clock: FrozenClock,
        *,
        seconds: float,
        is_flushed: bool,
    ) -> None:
        """It was reserved when its files were there, or written again when Redis had lost it."""
        task = lock()
        ref = dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref
        clock.advance(seconds=seconds)
        engine.lock(task.id, ref.holder, LOCK)
        ledger.mark_alive(ref, "ai@host") if is_flushed else ledger.reserve([ref], "ai", LOCK)
        engine.fail(task.id, ref.holder, message="", details="", retries=2, retry_in=timedelta(hours=1))
        ledger.back_off(ref, "ai", timedelta(hours=1), same_try=False)
        orphans.turn()
        orphans.turn()
        assert not is_free(engine, task)

    def test_offers_a_retry_that_was_fetched_and_never_reserved(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.fail(ref.external_task_id, ref.holder, message="", details="", retries=2, retry_in=timedelta(seconds=1))
        ledger.back_off(ref, "ai", timedelta(seconds=1), same_try=False)
        clock.advance(seconds=2)
        task = engine.fetch_and_lock(
            "bridge/ai", [Subscription(topic=Topic("ai_query"), lock_duration=LOCK)], max_tasks=1, wait=timedelta(0)
        )[0]
        orphans.turn()
        orphans.turn()
        assert is_free(engine, task)

    def test_offers_what_was_given_up_for_lost_and_never_unlocked(
        self, orphans: Orphans, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        (entry,) = ledger.list_in_flight("ai")
        ledger.lose(entry)
        orphans.turn()
        orphans.turn()
        assert engine.find(ref.external_task_id).lease is None

    def test_leaves_an_incident_to_people(
        self, orphans: Orphans, engine: FakeEngine, lock: Callable[..., ExternalTask]
    ) -> None:
        task = lock()
        engine.fail(task.id, "bridge/ai", message="no", details="", retries=0, retry_in=timedelta(0))
        orphans.turn()
        orphans.turn()
        assert not is_free(engine, task)

    def test_sees_to_its_own_alone(
        self, orphans: Orphans, engine: FakeEngine, registry: FakeRegistry, lock: Callable[..., ExternalTask]
    ) -> None:
        registry.register_holder("gone/ai")
        others = [lock("gone/ai"), lock("stranger")]
        for _ in range(3):
            orphans.turn()
        assert [is_free(engine, task) for task in others] == [False, False]

    def test_has_a_reservation_published_that_nobody_will_publish(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.entries[ref.external_task_id].state = State.RESERVED
        orphans.turn()
        assert engine.find(ref.external_task_id).lease is not None
        clock.advance(seconds=11)
        orphans.turn()
        assert engine.find(ref.external_task_id).lease is None


class TestBegin:
    def test_offers_at_once_what_an_earlier_run_has_left(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        lock: Callable[..., ExternalTask],
    ) -> None:
        engine.add()
        reserved = in_flight()
        ledger.entries[reserved.external_task_id].state = State.RESERVED
        task = lock()
        orphans.begin()
        assert is_free(engine, task)
        assert engine.find(reserved.external_task_id).lease is None

    def test_makes_its_worker_ids_known(self, orphans: Orphans, registry: FakeRegistry) -> None:
        orphans.begin()
        assert registry.is_ours("bridge/generic")


class TestRecovery:
    def test_writes_anew_what_is_under_way(
        self,
        orphans: Orphans,
        engine: FakeEngine,
        ledger: FakeLedger,
        registry: FakeRegistry,
        in_flight: Callable[..., DispatchRef],
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.flush()
        registry.register.flush()
        orphans.recover()
        assert ledger.entries[ref.external_task_id].state is State.PUBLISHED
        assert (ledger.in_flight("ai"), registry.is_ours("bridge/ai")) == (1, True)
        assert ledger.mark_started(ref, "ai@host") == (1,)

    def test_leaves_what_may_be_waiting_for_a_retry_until_its_lock_ends(
        self, orphans: Orphans, engine: FakeEngine, ledger: FakeLedger, lock: Callable[..., ExternalTask]
    ) -> None:
        task = lock()
        engine.fail(task.id, "bridge/ai", message="no", details="", retries=2, retry_in=timedelta(hours=1))
        orphans.recover()
        orphans.turn()
        orphans.turn()
        assert not is_free(engine, task)
        assert ledger.in_flight("ai") == 0


class TestHolders:
    def test_are_one_for_each_queue_and_group(self) -> None:
        assert list(OURS) == ["bridge/ai", "bridge/limit.crm/ai", "bridge/generic"]

    def test_end_in_the_queue_and_begin_with_the_replica(self) -> None:
        assert {holder.rpartition("/")[2] for holder in OURS} == {"ai", "generic"}
        assert {replica_of(holder) for holder in OURS} == {"bridge"}
