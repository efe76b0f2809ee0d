"""What must not be done twice is not: whatever goes wrong in it or behind it, the step is not tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from kombu.utils import json as wire

from procos.domain.errors import BlobsUnreachableError, BusinessError, PermanentError, RateLimited, TransientError
from procos.domain.mapping import OutputMapping
from procos.domain.outcome import BpmnError, Failure, TaskFailed, failure_from_json, from_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.outcome import Outcome
    from tasks.context import TaskContext
    from tests.unit.tasks_core.one_run import Question


def outcome_of(run: Callable[..., Any], function: Callable[..., Any], **more: Any) -> Outcome:
    try:
        return from_envelope(wire.loads(wire.dumps(run(function, takes_context=True, text="hi", **more))))
    except TaskFailed as failed:
        return failure_from_json(failed.payload)


def in_the_midst(error: Exception) -> Callable[[Question, TaskContext], None]:
    def function(_: Question, context: TaskContext) -> None:
        with context.deeds.doing("mail.send"):
            raise error

    return function


def behind(error: Exception) -> Callable[[Question, TaskContext], None]:
    def function(_: Question, context: TaskContext) -> None:
        with context.deeds.doing("mail.send"):
            pass
        raise error

    return function


class TestDeedThatWasCutOff:
    @pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), KeyError("defect"), ConnectionResetError()])
    def test_may_have_been_done(self, run: Callable[..., Any], error: Exception) -> None:
        outcome = outcome_of(run, in_the_midst(error))
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("OUTCOME_UNKNOWN", True)
        assert outcome.message.startswith("mail.send was cut off, and may have been done")

    @pytest.mark.parametrize("error", [TransientError("busy"), BlobsUnreachableError("file:///blobs", "away")])
    def test_was_not_done_where_an_error_of_ours_says_so(self, run: Callable[..., Any], error: Exception) -> None:
        outcome = outcome_of(run, in_the_midst(error))
        assert isinstance(outcome, Failure)
        assert not outcome.permanent


class TestDeedThatWasDone:
    @pytest.mark.parametrize(
        "error",
        [TransientError("busy"), KeyError("defect"), RateLimited("slow", retry_in=timedelta(seconds=1))],
    )
    def test_is_not_done_again_for_what_goes_wrong_behind_it(self, run: Callable[..., Any], error: Exception) -> None:
        outcome = outcome_of(run, behind(error))
        assert isinstance(outcome, Failure)
        assert outcome.permanent
        assert "not tried again, since it has done mail.send" in outcome.message

    @pytest.mark.parametrize("error", [BusinessError("NO", "no"), PermanentError("never", code="NEVER")])
    def test_leaves_alone_what_is_not_tried_again_anyway(self, run: Callable[..., Any], error: Any) -> None:
        outcome = outcome_of(run, behind(error))
        assert isinstance(outcome, BpmnError | Failure)
        assert outcome.code == error.code
        assert "mail.send" not in outcome.message

    def test_is_not_done_again_for_an_expression_that_fails(self, run: Callable[..., Any]) -> None:
        def function(_: Question, context: TaskContext) -> dict[str, object]:
            with context.deeds.doing("mail.send"):
                return {"sent": True}

        outcome = outcome_of(run, function, mapping=OutputMapping(result_expression='$error("odd")'))
        assert isinstance(outcome, Failure)
        assert outcome.permanent
        assert "not tried again, since it has done mail.send" in outcome.message


class TestDeadline:
    def test_comes_before_celery_strikes(self, run: Callable[..., Any]) -> None:
        left: list[float] = []

        def function(_: Question, context: TaskContext) -> None:
            left.append(context.remaining().total_seconds())

        outcome_of(run, function)
        assert left[0] <= 59.0, "a second before the limit of 60"
