"""Failures and postponements the engine refuses, or answers faster than the ledger is written."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.reporter import Verdict
from procos.domain.errors import EngineRejectedError
from procos.domain.outcome import Failure, Postponement

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.testing import FakeEngine, FakeLedger


class TestRefusedFailure:
    def test_is_reported_without_its_words_at_the_last_try(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        refusal = EngineRejectedError("invalid byte sequence", status=500, kind="ProcessEngineException")
        engine.add()
        ref = in_flight()
        engine.refuse_next(refusal)
        with pytest.raises(EngineRejectedError):
            reporter.report(ref, Failure(message="odd words"), tries=1)
        engine.refuse_next(refusal)
        assert reporter.report(ref, Failure(message="odd words"), tries=3) is Verdict.RETRY
        assert "odd words" not in engine.failures[0].message

    def test_that_was_fetched_again_meanwhile_keeps_its_delay(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
    ) -> None:
        task_id = engine.add()
        ref = in_flight()
        original = engine.fail

        def fail_and_be_fetched_again(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            if len(engine.failures) == 1:
                engine.lock(task_id, ref.holder, timedelta(minutes=5))
                ledger.leases["ai"][ref.external_task_id] = 1

        engine.fail = fail_and_be_fetched_again  # type: ignore[method-assign]  # the race, made certain
        reporter.report(ref, Postponement(retry_in=timedelta(hours=1), reason="later"))
        lease = engine.find(task_id).lease
        assert lease is not None
        assert lease.expires - engine.clock.now() == timedelta(hours=1)
        assert ledger.in_flight("ai") == 0


class TestFailureThatAModelDecided:
    @pytest.mark.parametrize(("asked", "left"), [(None, 2), (99, 2), (1, 1)])
    def test_has_at_most_the_retries_it_asks_for(
        self,
        reporter: Reporter,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        asked: int | None,
        left: int,
    ) -> None:
        engine.add()
        reporter.report(in_flight(), Failure(message="no", retries=asked))
        assert engine.failures[0].retries == left

    def test_is_an_incident_where_it_asks_for_none(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        assert reporter.report(in_flight(), Failure(message="no", retries=0)) is Verdict.INCIDENT

    def test_sets_its_variables(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        task_id = engine.add()
        reporter.report(in_flight(), Failure(message="no", variables={"last_error": "no"}))
        (task,) = engine.open_tasks()
        assert (task.id, task.variables["last_error"].value) == (task_id, "no")

    def test_says_that_its_variables_were_refused(
        self, reporter: Reporter, engine: FakeEngine, in_flight: Callable[..., DispatchRef]
    ) -> None:
        engine.add()
        engine.knows_json = False
        failure = Failure(message="no", variables={"long": "x" * 5000})
        assert reporter.report(in_flight(), failure) is Verdict.RETRY
        assert "no; what it should have set was refused: variable 'long'" in engine.failures[0].message
        assert engine.failures[0].variables == {}
