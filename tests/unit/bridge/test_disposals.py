"""What is done with a result that could not be reported: the table of errors and disposals."""

from __future__ import annotations

import pytest

from bridge.disposals import Decision, Disposal, decision_on
from procos.domain.errors import (
    DispatchError,
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineMisconfiguredError,
    EngineRejectedError,
    EngineUnreachableError,
    LeaseLostError,
    LedgerUnreachableError,
    NewerVersionError,
    TaskSuspendedError,
)

ANSWERS = [
    EngineBusyError("503", status=503),
    EngineConflictError("collided", status=500, code=1),
    EngineDeniedError("401", status=401),
    EngineMisconfiguredError("404", status=404),
    EngineRejectedError("500", status=500),
    LeaseLostError("held by a stranger", status=400),
    TaskSuspendedError("suspended"),
]


class TestDecision:
    @pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
    def test_is_to_park_what_the_engine_refused(self, error: Exception) -> None:
        assert decision_on(error) == Decision(disposal=Disposal.PARK, reason=str(error), engine_answered=True)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (EngineUnreachableError("engine", "gone"), Disposal.HOLD),
            (LedgerUnreachableError("redis", "gone"), Disposal.PARK),
            (NewerVersionError("version 2"), Disposal.PARK),
            (DispatchError("garbage"), Disposal.DEAD_LETTER),
        ],
        ids=["no engine", "no ledger", "newer version", "garbage"],
    )
    def test_says_nothing_about_the_engine_where_it_was_not_heard(self, error: Exception, expected: Disposal) -> None:
        assert decision_on(error) == Decision(disposal=expected, reason=str(error), engine_answered=False)

    def test_is_to_park_what_a_defect_of_ours_stopped(self) -> None:
        assert decision_on(ZeroDivisionError("oops")) == Decision(
            disposal=Disposal.PARK, reason="ZeroDivisionError: oops"
        )
