"""Asking for work: as much as there is room for, in large steps, and never giving up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.dispatcher import Dispatcher
from bridge.poller import BACK_OFF_SECONDS, LARGEST_FETCH, PATIENCE, Poller, Retries
from procos.domain.errors import EngineBusyError, EngineDeniedError, EngineUnreachableError
from procos.engine.protocol import Filter
from procos.testing import InstantStop, RecordingPublisher, dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.domain.external_task import Topic
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
        defaults: dict[str, Any] = {"capacity": 10, "lock_duration": LEASE, "wait": timedelta(seconds=5)}
        return Poller(engine, ledger, dispatcher, table, holder="bridge/ai", queue="ai", **{**defaults, **options})

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
        for _ in range(60):
            engine.add()
        poller, stop = make(capacity=50), InstantStop()
        poller.turn(stop)
        assert stop.waits == []
        ledger.drop_lease(next(iter(ledger.entries)), "ai")  # type: ignore[arg-type]  # an id as the ledger keeps it
        poller.turn(stop)
        assert stop.waits == [PATIENCE]

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

    def test_beat_for_every_queue(self, make: Callable[..., Poller], ledger: FakeLedger) -> None:
        ledger.back_off(dispatch_ref("task-1"), "ai", timedelta(0), same_try=False)
        beats: list[str] = []
        Retries(ledger, [make(), make()], beat=lambda: beats.append("beat")).turn(InstantStop())
        assert len(beats) == 2
