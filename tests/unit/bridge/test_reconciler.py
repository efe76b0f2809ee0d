"""Dispatches whose callback does not come end in a verdict all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.reconciler import MOST_LOSSES, PARKED_PATIENCE, Reconciler
from bridge.reporter import REFUSED_TRIES
from procos.domain.errors import EngineRejectedError, EngineUnreachableError
from procos.domain.outcome import Completion, Failure, TaskFailed, failure_to_json, to_envelope
from procos.ledger_keys import State
from procos.queues import PARKED, Queue, QueueDepth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

SUCCESS = {"status": "SUCCESS", "result": dict(to_envelope(Completion(variables={"answer": 42})).fields)}
FAILURE = {
    "status": "FAILURE",
    "result": {"exc_type": TaskFailed.__name__, "exc_message": [failure_to_json(Failure(message="no", code="NO"))]},
}
REVOKED = {"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["expired"]}}


@pytest.fixture
def depths() -> dict[str, QueueDepth]:
    return {name: QueueDepth() for name in ("ai", Queue.CALLBACKS, PARKED)}


@pytest.fixture
def reconciler(
    engine: FakeEngine,
    ledger: FakeLedger,
    reporter: Reporter,
    table: Mapping[Topic, Route],
    depths: dict[str, QueueDepth],
) -> Reconciler:
    return Reconciler(
        engine,
        ledger,
        reporter,
        table,
        queues=["ai"],
        depths=lambda: depths,
        lost_after=timedelta(seconds=60),
        largest_age=timedelta(hours=1),
    )


@pytest.fixture
def published(engine: FakeEngine, in_flight: Callable[..., DispatchRef]) -> DispatchRef:
    engine.add()
    return in_flight()


class TestStoredResult:
    @pytest.mark.parametrize(
        ("meta", "completed", "incident"),
        [(SUCCESS, True, None), (REVOKED, False, "expired"), (FAILURE, False, None)],
        ids=["success", "revoked", "failure"],
    )
    def test_is_reported_when_its_callback_does_not_come(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        meta: Mapping[str, Any],
        completed: bool,  # noqa: FBT001  # parametrised
        incident: str | None,
    ) -> None:
        ledger.results[published.celery_id] = meta
        reconciler.turn()
        assert not engine.completed
        assert not engine.failures
        clock.advance(seconds=10)
        reconciler.turn()
        assert not engine.completed
        assert not engine.failures
        reconciler.turn()
        assert (published.external_task_id in engine.completed) is completed
        assert len(engine.failures) == (0 if completed else 1)
        assert (incident or "") in engine.incidents.get(published.external_task_id, "")
        assert ledger.in_flight("ai") == 0

    def test_waits_while_the_engine_is_away(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        ledger.results[published.celery_id] = SUCCESS
        clock.advance(seconds=100)
        engine.is_down = True
        with pytest.raises(EngineUnreachableError):
            reconciler.turn()
        engine.is_down = False
        reconciler.turn()
        assert not engine.completed  # its callback comes first, now that the engine is back
        reconciler.turn()
        assert published.external_task_id in engine.completed

    def test_that_cannot_be_read_yet_does_not_stop_the_others(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        other = in_flight()
        ledger.results[published.celery_id] = {"status": "SUCCESS", "result": {"procos": 99}}
        ledger.results[other.celery_id] = SUCCESS
        clock.advance(seconds=11)
        reconciler.turn()
        reconciler.turn()
        assert list(engine.completed) == [other.external_task_id]

    def test_that_the_engine_keeps_refusing_is_an_incident_after_a_few_tries(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        refused: list[str] = []

        def refuse(*_: object, **__: object) -> None:
            refused.append("complete")
            raise EngineRejectedError("unknown property", status=500, kind="ProcessEngineException", code=0)

        ledger.results[published.celery_id] = SUCCESS
        clock.advance(seconds=11)
        engine.complete = refuse  # type: ignore[method-assign]  # the model behind the step is broken
        for _ in range(20):
            reconciler.turn()
            clock.advance(seconds=5)
        assert "refused the result" in engine.incidents[published.external_task_id]
        assert len(refused) == REFUSED_TRIES


class TestLostDispatch:
    def test_is_offered_again(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        clock.advance(seconds=61)
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.LOST
        assert engine.find(published.external_task_id).lease is None
        assert ledger.mark_started(published, "ai@host") == (-1,)

    @pytest.mark.parametrize("queue", ["ai", Queue.CALLBACKS])
    def test_may_still_be_waiting_in_a_queue(
        self,
        reconciler: Reconciler,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        depths: dict[str, QueueDepth],
        queue: str,
    ) -> None:
        depths[queue] = QueueDepth(ready=1)
        clock.advance(seconds=1000)
        reconciler.turn()
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED

    def test_is_not_one_whose_result_is_put_aside(
        self,
        reconciler: Reconciler,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        depths: dict[str, QueueDepth],
    ) -> None:
        ledger.mark_started(published, "ai@host")
        depths[PARKED] = QueueDepth(ready=1)
        for _ in range(20):
            ledger.mark_parked([published])
            for _ in range(3):
                clock.advance(seconds=5)
                reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.STARTED

    def test_waits_for_a_result_that_may_have_been_put_aside_while_redis_was_away(
        self,
        reconciler: Reconciler,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        depths: dict[str, QueueDepth],
    ) -> None:
        depths[PARKED] = QueueDepth(ready=1)
        clock.advance(seconds=1000)
        for _ in range(3):
            reconciler.turn()
            clock.advance(seconds=5)
        ledger.mark_parked([published])
        reconciler.turn()
        clock.advance(seconds=PARKED_PATIENCE.total_seconds())
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED

    def test_is_offered_again_though_results_of_others_are_put_aside_for_days(
        self,
        reconciler: Reconciler,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        depths: dict[str, QueueDepth],
    ) -> None:
        depths[PARKED] = QueueDepth(ready=1)
        clock.advance(seconds=61)
        reconciler.turn()
        clock.advance(seconds=PARKED_PATIENCE.total_seconds() - 1)
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED
        clock.advance(seconds=1)
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.LOST

    def test_is_not_given_up_while_its_instance_is_suspended(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        engine.suspend(published.external_task_id)
        clock.advance(seconds=1000)
        reconciler.turn()
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED

    def test_was_lost_where_a_much_younger_one_was_started(
        self,
        reconciler: Reconciler,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
        depths: dict[str, QueueDepth],
    ) -> None:
        depths["ai"] = QueueDepth(ready=100)
        clock.advance(seconds=100)
        ledger.overtaken["ai"] = clock.milliseconds()
        reconciler.turn()
        reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.LOST

    def test_is_not_one_that_gives_signs_of_life(
        self, reconciler: Reconciler, ledger: FakeLedger, published: DispatchRef, clock: FrozenClock
    ) -> None:
        ledger.mark_started(published, "ai@host")
        for _ in range(10):
            clock.advance(seconds=50)
            ledger.mark_alive(published, "ai@host")
            reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.STARTED

    def test_lives_again_when_its_worker_comes_back(
        self, reconciler: Reconciler, ledger: FakeLedger, published: DispatchRef, clock: FrozenClock
    ) -> None:
        ledger.mark_started(published, "ai@host")
        clock.advance(seconds=61)
        reconciler.turn()
        reconciler.turn()
        ledger.mark_alive(published, "ai@host")
        assert ledger.entries[published.external_task_id].state is State.STARTED
        assert ledger.in_flight("ai") == 1

    def test_is_an_incident_when_it_was_lost_too_often(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        ledger.entries[published.external_task_id].losses = MOST_LOSSES - 1
        clock.advance(seconds=61)
        reconciler.turn()
        reconciler.turn()
        assert f"dispatched {MOST_LOSSES} times" in engine.incidents[published.external_task_id]

    def test_is_an_incident_where_no_other_start_is_allowed(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        for _ in range(3):
            ledger.mark_started(published, "ai@host")
        clock.advance(seconds=61)
        reconciler.turn()
        reconciler.turn()
        assert "dispatched once, started 3 times" in engine.incidents[published.external_task_id]
        assert "ai@host" in engine.incidents[published.external_task_id]

    def test_is_not_given_up_while_the_engine_is_away(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        clock.advance(seconds=61)
        reconciler.turn()
        engine.is_down = True
        with pytest.raises(EngineUnreachableError):
            reconciler.turn()
        assert ledger.entries[published.external_task_id].state is State.PUBLISHED


class TestAge:
    def test_makes_an_incident_of_what_lasts_too_long(
        self,
        reconciler: Reconciler,
        engine: FakeEngine,
        ledger: FakeLedger,
        published: DispatchRef,
        clock: FrozenClock,
    ) -> None:
        ledger.mark_started(published, "ai@host")
        clock.advance(seconds=3599)
        ledger.mark_alive(published, "ai@host")
        reconciler.turn()
        assert not engine.incidents
        clock.advance(seconds=2)
        ledger.mark_alive(published, "ai@host")
        reconciler.turn()
        assert engine.incidents[published.external_task_id].startswith("no outcome within 1:00:01")
        assert "ai@host" in engine.incidents[published.external_task_id]
