"""Asking for work: as much as there is room for, in large steps, and never giving up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.budget import Budget
from bridge.dispatcher import Dispatcher
from bridge.poller import BACK_OFF_SECONDS, LARGEST_FETCH, PATIENCE, Poller, Retries
from procos.caps import Cap
from procos.domain.errors import BrokerUnreachableError, EngineBusyError, EngineDeniedError, EngineUnreachableError
from procos.domain.external_task import Topic
from procos.engine.subscription import Filter
from procos.testing import InstantStop, RecordingPublisher, dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

LEASE = timedelta(seconds=20)


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def make(
    engine: FakeEngine, ledger: FakeLedger, publisher: RecordingPublisher, table: Mapping[Topic, Route]
) -> Callable[..., Poller]:
    def build(**options: Any) -> Poller:
        dispatcher = Dispatcher(engine, ledger, publisher, table, queue="ai", lease=LEASE, stop=InstantStop())
        capacity = options.pop("capacity", 10)
        budget = Budget(ledger, "ai", capacity=capacity, least=capacity, clock=lambda: 0.0)
        defaults: dict[str, Any] = {"lock_duration": LEASE, "wait": timedelta(seconds=5), "clock": lambda: 0.0}
        return Poller(engine, dispatcher, table, budget, **{"holder": "bridge/ai", **defaults, **options})

    return build


class TestPoller:
    def test_fetches_and_dispatches(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher
    ) -> None:
        task_id = engine.add()
        make().turn(InstantStop())
        assert [p.dispatch.ref.external_task_id for p in publisher.published] == [task_id]
        lease = engine.find(task_id).lease
        assert lease is not None
        assert (lease.holder, lease.expires - engine.clock.now()) == ("bridge/ai", LEASE)

    def test_leaves_what_others_fetch(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher
    ) -> None:
        engine.add(business_key="theirs")
        ours = engine.add(business_key="ours")
        make(only=Filter(business_key="ours")).turn(InstantStop())
        assert [p.dispatch.ref.external_task_id for p in publisher.published] == [ours]

    def test_asks_for_no_more_than_there_is_room_for(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher
    ) -> None:
        for _ in range(5):
            engine.add()
        poller = make(capacity=3)
        poller.turn(InstantStop())
        poller.turn(InstantStop())
        assert len(publisher.published) == 3

    def test_asks_in_steps_of_bounded_size(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher
    ) -> None:
        for _ in range(LARGEST_FETCH + 1):
            engine.add()
        make(capacity=10_000).turn(InstantStop())
        assert len(publisher.published) == LARGEST_FETCH

    def test_waits_for_room_worth_a_fetch_while_there_is_a_backlog(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        for _ in range(80):
            engine.add()
        poller, stop = make(capacity=50), InstantStop()
        poller.turn(stop)
        assert stop.waits == []
        ids = iter(ledger.entries)
        for _ in range(11):
            ledger.drop_lease(next(ids), "ai")  # type: ignore[arg-type]  # an id as the ledger keeps it
        poller.turn(stop)
        assert stop.waits == list(PATIENCE)
        assert ledger.in_flight("ai") == 50

    def test_fetches_a_good_part_at_once(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        for _ in range(80):
            engine.add()
        poller, stop = make(capacity=50), InstantStop()
        poller.turn(stop)
        for task_id in list(ledger.entries)[:12]:
            ledger.drop_lease(task_id, "ai")  # type: ignore[arg-type]  # an id as the ledger keeps it
        poller.turn(stop)
        assert stop.waits == []
        assert ledger.in_flight("ai") == 50

    @pytest.mark.parametrize("error", [EngineUnreachableError("engine", "gone"), EngineDeniedError("401", status=401)])
    def test_backs_off_while_the_engine_does_not_answer_and_then_goes_on(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher, error: Any
    ) -> None:
        engine.refuse_next(*[error] * 5)
        engine.add()
        stop = InstantStop(after=6)
        engine.refuse_next(None, error)
        make().run(stop)
        assert stop.waits == [*BACK_OFF_SECONDS, BACK_OFF_SECONDS[-1], BACK_OFF_SECONDS[0]]
        assert len(publisher.published) == 1

    def test_pauses_for_a_moment_when_its_poll_was_ended(self, make: Callable[..., Poller], engine: FakeEngine) -> None:
        engine.refuse_next(*[EngineBusyError("503", status=503)] * 3)
        stop = InstantStop(after=3)
        make().run(stop)
        assert stop.waits == list(BACK_OFF_SECONDS[:1] + BACK_OFF_SECONDS[1:3])

    def test_stops_fetching_while_the_ledger_is_down(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        ledger.is_down = True
        make().run(InstantStop(after=2))
        assert engine.calls == []

    def test_stops_fetching_while_the_broker_is_away(
        self,
        make: Callable[..., Poller],
        engine: FakeEngine,
        publisher: RecordingPublisher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse() -> None:
            raise BrokerUnreachableError("broker", "connection refused")

        monkeypatch.setattr(publisher, "ready", refuse)
        engine.add()
        stop = InstantStop(after=2)
        make().run(stop)
        assert engine.calls == []
        assert stop.waits == list(BACK_OFF_SECONDS[:2])

    def test_asks_for_no_more_than_a_cap_has_places(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger, publisher: RecordingPublisher
    ) -> None:
        cap = Cap(name="crm", at_once=2, queues=("ai",))
        ledger.caps = {Topic("ai_query"): (cap,), Topic("narrow"): (cap,)}
        for topic in ("ai_query", "narrow", "ai_query"):
            engine.add(topic)
        poller = make(caps=(cap,))
        for _ in range(2):
            poller.turn(InstantStop())
        poller.fetch_now()
        assert len(publisher.published) == 2
        assert engine.calls == ["fetch_and_lock"]

    def test_asks_first_for_topics_that_another_holds_up(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger, publisher: RecordingPublisher
    ) -> None:
        for _ in range(100):
            engine.add("ai_query", priority=5)
        for _ in range(5):
            engine.add("narrow")
        poller = make(capacity=20)
        poller.turn(InstantStop())
        assert {p.dispatch.ref.topic for p in publisher.published} == {"ai_query"}
        ledger.leases["ai"].clear()
        poller.turn(InstantStop())
        topics = [p.dispatch.ref.topic for p in publisher.published[20:]]
        assert topics == ["narrow"] * 5 + ["ai_query"] * 15

    def test_tells_its_budget_how_long_a_fetch_takes_that_does_not_wait(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moments = iter(range(100))
        poller, noted = make(capacity=5, clock=lambda: float(next(moments))), list[float]()
        monkeypatch.setattr(poller.budget, "note_fetch", noted.append)
        for _ in range(12):
            engine.add()
        counts = []
        for _ in range(3):
            poller.turn(InstantStop())
            ledger.leases.clear()
            counts.append(len(noted))
        assert counts == [0, 1, 1]
        assert noted[0] > 0

    def test_is_named_after_its_queue_and_its_group(self, make: Callable[..., Poller]) -> None:
        assert [make(holder=holder).name for holder in ("bridge/ai", "bridge/limit.crm/ai")] == ["ai", "limit.crm/ai"]

    def test_releases_its_parked_poll_with_a_poll_that_brings_nothing(
        self, make: Callable[..., Poller], engine: FakeEngine, publisher: RecordingPublisher
    ) -> None:
        engine.add()
        make().release()
        assert engine.calls == ["fetch_and_lock"]
        assert publisher.batches == []


class TestRetries:
    def test_fetches_when_a_retry_falls_due(
        self,
        make: Callable[..., Poller],
        engine: FakeEngine,
        ledger: FakeLedger,
        publisher: RecordingPublisher,
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ledger.back_off(dispatch_ref("task-1"), "ai", timedelta(seconds=30), same_try=False)
        retries = Retries(ledger, [make()])
        retries.turn(InstantStop())
        assert publisher.published == []
        clock.advance(seconds=29.5)
        stop = InstantStop()
        retries.turn(stop)
        assert stop.waits == [pytest.approx(0.505)]
        assert len(publisher.published) == 1

    def test_fetch_nothing_more_for_a_bridge_that_stops(
        self, make: Callable[..., Poller], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        engine.add()
        ledger.back_off(dispatch_ref("task-1"), "ai", timedelta(0), same_try=False)
        Retries(ledger, [make()]).turn(InstantStop(after=1))
        assert engine.calls == []

    def test_beat_for_every_queue(self, make: Callable[..., Poller], ledger: FakeLedger) -> None:
        ledger.back_off(dispatch_ref("task-1"), "ai", timedelta(0), same_try=False)
        beats: list[str] = []
        Retries(ledger, [make(), make()], beat=lambda: beats.append("beat")).turn(InstantStop())
        assert len(beats) == 2
