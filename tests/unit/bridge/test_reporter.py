"""One outcome, one call: what each answer of the engine means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.reporter import CONFLICT_TRIES, REFUSED_TRIES, Reporter, Verdict
from procos.domain.errors import (
    EngineConflictError,
    EngineDeniedError,
    EngineRejectedError,
    EngineUnreachableError,
    LeaseLostError,
    LedgerUnreachableError,
    TaskSuspendedError,
)
from procos.domain.external_task import Token
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome, Postponement
from procos.engine.faults import COLUMN_SIZE
from procos.ledger_keys import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask
    from procos.testing import FakeEngine, FakeLedger, FakeRegistry, FrozenClock, InstantStop

DONE = Completion(variables={"answer": 42})
FAILED = Failure(message="no answer", details="a traceback", retry_in=timedelta(seconds=3))
LATER = Postponement(reason="rate limit", retry_in=timedelta(seconds=30))
LEASE = timedelta(seconds=20)
OUTCOMES = [DONE, BpmnError(code="REFUSED"), FAILED, LATER]


class TestCompletion:
    def test_ends_the_step_and_closes_the_entry(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        assert reporter.report(in_flight(), DONE) is Verdict.COMPLETED
        assert engine.completed[task_id] == {"answer": 42}
        assert ledger.closed[task_id] == "completed"
        assert ledger.in_flight("ai") == 0

    def test_counts_after_its_lock_ran_out(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=3600)
        assert reporter.report(ref, DONE) is Verdict.COMPLETED

    def test_counts_under_an_older_token(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        assert reporter.report(replace(ref, token=Token(ref.token - 1)), DONE) is Verdict.COMPLETED

    def test_counts_while_the_step_backs_off(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        reporter.report(ref, FAILED)
        assert reporter.report(ref, DONE) is Verdict.COMPLETED

    def test_twice_is_finished_once(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        assert [reporter.report(ref, DONE), reporter.report(ref, DONE)] == [Verdict.COMPLETED] * 2
        assert engine.calls.count("complete") == 2

    def test_counts_without_the_ledger(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.is_down = True
        assert reporter.report(ref, DONE) is Verdict.COMPLETED

    def test_that_breaks_at_the_next_step_is_offered_again_before_it_is_an_incident(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        refusal = EngineRejectedError("Unknown property ${x}", status=500, kind="ProcessEngineException")
        for tries in range(1, REFUSED_TRIES):
            engine.refuse_next(refusal)
            with pytest.raises(EngineRejectedError):
                reporter.report(ref, DONE, tries=tries)
        engine.refuse_next(refusal)
        assert reporter.report(ref, DONE, tries=REFUSED_TRIES) is Verdict.INCIDENT
        assert "Unknown property ${x}" in engine.incidents[task_id]
        assert ledger.closed[task_id] == "incident"

    @pytest.mark.parametrize(("status", "code"), [(400, None), (500, COLUMN_SIZE)])
    def test_that_can_never_be_taken_is_an_incident_at_once(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        status: int,
        code: int | None,
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.refuse_next(EngineRejectedError("Value too long", status=status, code=code))
        assert reporter.report(ref, DONE) is Verdict.INCIDENT

    def test_that_cannot_be_written_is_an_incident_that_names_the_variable(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        assert reporter.report(in_flight(), Completion(variables={"answer": float("nan")})) is Verdict.INCIDENT
        assert "'answer'" in engine.incidents[task_id]


class TestBpmnError:
    def test_that_the_model_catches_goes_its_way(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add(catches=["REFUSED"])
        assert reporter.report(in_flight(), BpmnError(code="REFUSED", message="no")) is Verdict.BPMN_ERROR
        assert engine.bpmn_errors[task_id] == "REFUSED"

    def test_that_nothing_catches_is_an_incident_with_code_and_message(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        assert reporter.report(in_flight(), BpmnError(code="REFUSED", message="no")) is Verdict.INCIDENT
        assert engine.incidents[task_id] == "BPMN error REFUSED was not caught by the model: no"


class TestFailure:
    def test_leaves_one_try_less(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        ledger.mark_started(ref, "ai@host")
        assert reporter.report(ref, FAILED) is Verdict.RETRY
        (failure,) = engine.failures
        assert (failure.retries, failure.retry_in) == (2, timedelta(seconds=3))
        assert failure.message == "no answer"
        assert failure.details == f"a traceback\n\nCelery task {ref.celery_id}, worker ai@host"
        assert ledger.entries[task_id].state is State.BACKING_OFF
        assert ledger.in_flight("ai") == 0

    def test_reported_twice_burns_nothing(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        assert [reporter.report(ref, FAILED), reporter.report(ref, FAILED)] == [Verdict.RETRY, Verdict.SUPERSEDED]
        assert len(engine.failures) == 1

    def test_of_the_last_try_is_an_incident(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        task_id = engine.add()
        verdicts = []
        for _ in range(3):
            verdicts.append(reporter.report(in_flight(), FAILED))
            clock.advance(seconds=4)
        assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.INCIDENT]
        assert engine.incidents[task_id] == "no answer"

    def test_for_good_is_an_incident_at_once(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        assert reporter.report(in_flight(), Failure(message="never", permanent=True)) is Verdict.INCIDENT
        assert engine.incidents[task_id] == "never"

    @pytest.mark.parametrize("outcome", [FAILED, LATER])
    def test_of_an_older_dispatch_is_dropped(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
        outcome: Outcome,
    ) -> None:
        engine.add()
        old = in_flight()
        reporter.report(old, FAILED)
        clock.advance(seconds=4)
        in_flight()
        assert reporter.report(old, outcome) is Verdict.SUPERSEDED
        assert len(engine.failures) == 1

    def test_counts_after_the_ledger_was_flushed(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.entries.clear()
        assert reporter.report(ref, FAILED) is Verdict.RETRY

    def test_waits_for_the_ledger(
        self, reporter: Reporter, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            reporter.report(ref, FAILED)
        assert engine.failures == []

    def test_is_reported_again_after_an_outage_of_the_engine(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.refuse_next(EngineUnreachableError("engine", "gone"))
        with pytest.raises(EngineUnreachableError):
            reporter.report(ref, FAILED)
        assert reporter.report(ref, FAILED) is Verdict.RETRY
        assert engine.failures[0].retries == 2


class TestPostponement:
    def test_keeps_the_retries(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        assert reporter.report(in_flight(), LATER) is Verdict.POSTPONED
        assert (engine.failures[0].retries, engine.failures[0].retry_in) == (3, timedelta(seconds=30))

    def test_into_the_past_is_one_until_now(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        past = Postponement(reason="rate limit", retry_in=timedelta(seconds=-5))
        assert reporter.report(in_flight(), past) is Verdict.POSTPONED
        assert engine.failures[0].retry_in == timedelta(0)


class TestLock:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_that_was_released_is_taken_again(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        outcome: Outcome,
    ) -> None:
        task_id = engine.add(catches=["REFUSED"])
        ref = in_flight()
        engine.unlock(task_id)
        reporter.report(ref, outcome)
        assert "lock" in engine.calls

    def test_of_another_replica_of_ours_is_reported_under_its_id(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        registry: FakeRegistry,
        in_flight: Callable[..., DispatchRef],
        fetch: Callable[..., ExternalTask],
        clock: FrozenClock,
    ) -> None:
        registry.register_holder("other/ai")
        engine.add()
        ref = in_flight()
        clock.advance(seconds=60)
        fetch(holder="other/ai")
        assert reporter.report(ref, DONE) is Verdict.COMPLETED

    def test_of_a_stranger_makes_the_report_wait_until_it_has_run_out(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        fetch: Callable[..., ExternalTask],
        clock: FrozenClock,
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        clock.advance(seconds=60)
        fetch(holder="stranger")
        with pytest.raises(LeaseLostError):
            reporter.report(ref, DONE)
        assert task_id not in engine.completed
        clock.advance(seconds=600)
        assert reporter.report(ref, DONE) is Verdict.COMPLETED

    def test_taken_back_between_two_looks_is_still_ours(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        # Unlocked when the report came, fetched again by our own poller when the reporter looked.
        engine.refuse_next(LeaseLostError("It is locked by worker 'null'.", status=400, kind="RestException"))
        assert reporter.report(ref, DONE) is Verdict.COMPLETED
        assert task_id in engine.completed


class TestOtherAnswers:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_gone_means_finished(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        outcome: Outcome,
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        engine.cancel(task_id)
        assert reporter.report(ref, outcome) is Verdict.GONE
        assert ledger.closed[task_id] == "gone"
        assert ledger.in_flight("ai") == 0

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_suspended_means_later(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        outcome: Outcome,
    ) -> None:
        task_id = engine.add(catches=["REFUSED"])
        ref = in_flight()
        engine.suspend(task_id)
        with pytest.raises(TaskSuspendedError):
            reporter.report(ref, outcome)
        engine.suspend(task_id, suspended=False)
        assert reporter.report(ref, outcome) is not Verdict.INCIDENT

    def test_a_collision_is_tried_again_at_once(
        self, reporter: Reporter, engine: FakeEngine, stop: InstantStop, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.refuse_next(*[EngineConflictError("collided", status=500, code=1)] * 3)
        assert reporter.report(ref, DONE) is Verdict.COMPLETED
        assert len(stop.waits) == 3

    def test_collisions_without_end_are_told_to_the_caller(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.refuse_next(*[EngineConflictError("collided", status=500, code=1)] * CONFLICT_TRIES)
        with pytest.raises(EngineConflictError):
            reporter.report(ref, DONE)

    def test_wrong_credentials_keep_the_result(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.refuse_next(EngineDeniedError("401", status=401))
        with pytest.raises(EngineDeniedError):
            reporter.report(ref, DONE)
        assert reporter.report(ref, DONE) is Verdict.COMPLETED
