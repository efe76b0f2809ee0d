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
