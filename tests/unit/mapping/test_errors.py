"""What an errorExpression makes of an error, and that neither its own faults nor the error are lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from procos.domain.outcome import BpmnError, Completion, Failure, Outcome, Postponement
from procos.settings import load_settings
from tasks.mapping.errors import mapped_error

SETTINGS = load_settings({"PROCOS_WORKER_LARGEST_RESULT": "1024"}, dotenv=None)
MINUTE = timedelta(minutes=1)
REFUSED = BpmnError(code="REFUSED", message="no", variables={"why": {"x": 1}})
AGAIN = Failure(message="no answer", details="in ask", code="HTTP_503", retry_in=MINUTE)
NEVER = Failure(message="no key", code="PERMANENT", permanent=True)
LATER = Postponement(reason="slow down", retry_in=MINUTE)


def mapped(expression: str, error: BpmnError | Failure | Postponement = AGAIN, *, retries: int = 2) -> Outcome:
    return mapped_error(expression, error, retries=retries, settings=SETTINGS)


def failure(expression: str, error: BpmnError | Failure | Postponement = AGAIN) -> Failure:
    outcome = mapped(expression, error)
    assert isinstance(outcome, Failure)
    return outcome


class TestWhatIsSeen:
    @pytest.mark.parametrize(
        ("error", "seen"),
        [
            (REFUSED, {"code": "REFUSED", "message": "no", "kind": "business", "variables": {"why": {"x": 1}},
                       "retry_in": None}),
            (AGAIN, {"code": "HTTP_503", "message": "no answer", "kind": "transient", "variables": {}, "retry_in": 60}),
            (NEVER, {"code": "PERMANENT", "message": "no key", "kind": "permanent", "variables": {}, "retry_in": None}),
            (LATER, {"code": "RATE_LIMITED", "message": "slow down", "kind": "rate_limited", "variables": {},
                     "retry_in": 60}),
        ],
        ids=["business", "transient", "permanent", "rate-limited"],
    )  # fmt: skip
    def test_is_the_error_and_how_many_tries_are_left(
        self, error: BpmnError | Failure | Postponement, seen: dict[str, object]
    ) -> None:
        assert mapped("$ignoreError($)", error) == Completion(variables={"error": seen, "retries": 2})


class TestNothing:
    @pytest.mark.parametrize("expression", ["missing", "null", "false ? $ignoreError()"])
    @pytest.mark.parametrize("error", [REFUSED, AGAIN, NEVER, LATER])
    def test_leaves_the_error_as_it_is(self, expression: str, error: BpmnError | Failure | Postponement) -> None:
        assert mapped(expression, error) is error


class TestBpmnErrorFunction:
    def test_throws_an_error_of_the_model(self) -> None:
        outcome = mapped("$bpmnError('DOWN', 'the shop is closed', {'since': error.retry_in})")
        assert outcome == BpmnError(code="DOWN", message="the shop is closed", variables={"since": 60})

    @pytest.mark.parametrize(("error", "message"), [(REFUSED, "no"), (AGAIN, "no answer"), (LATER, "slow down")])
    def test_has_the_message_of_the_error_unless_it_is_given_one(
        self, error: BpmnError | Failure | Postponement, message: str
    ) -> None:
        assert mapped("$bpmnError('DOWN')", error) == BpmnError(code="DOWN", message=message)


class TestJobErrorFunction:
    def test_is_a_failure_with_the_code_and_place_of_the_error(self) -> None:
        assert mapped("$jobError('still closed')") == Failure(
            message="still closed", details="in ask", code="HTTP_503", retry_in=MINUTE
        )

    def test_makes_a_failure_of_any_error(self) -> None:
        assert mapped("$jobError('m')", REFUSED) == Failure(message="m", code="REFUSED")
        assert mapped("$jobError('m')", NEVER) == Failure(message="m", code="PERMANENT")
        assert mapped("$jobError('m')", LATER) == Failure(message="m", code="RATE_LIMITED", retry_in=MINUTE)

    def test_without_retries_is_permanent(self) -> None:
        outcome = failure("$jobError('m', {'a': 1}, 0)")
        assert (outcome.permanent, outcome.retries, outcome.variables) == (True, 0, {"a": 1})

    def test_may_lower_the_retries(self) -> None:
        outcome = failure("$jobError('m', null, retries - 1)")
        assert (outcome.permanent, outcome.retries) == (False, 1)

    @pytest.mark.parametrize(
        ("given", "wait"),
        [
            ("'PT5M'", timedelta(minutes=5)),
            ("90", timedelta(seconds=90)),
            ("0.5", timedelta(seconds=0.5)),
            ("0", timedelta(0)),
            ("1e300", timedelta(days=365)),
            ("null", MINUTE),
        ],
    )
    def test_may_say_when(self, given: str, wait: timedelta) -> None:
        assert failure(f"$jobError('m', {{}}, null, {given})").retry_in == wait


class TestIgnoreErrorFunction:
    def test_completes_the_step(self) -> None:
        assert mapped("$ignoreError()") == Completion()
        assert mapped("$ignoreError({'found': false})", REFUSED) == Completion(variables={"found": False})


class TestBrokenExpression:
    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("{", "errorExpression does not parse"),
            ("error.message + 1", "errorExpression cannot be evaluated"),
            ("error.code", "errorExpression yields a text, expected nothing, or $bpmnError"),
            ("error", "errorExpression yields an object"),
            ("$bpmnError('')", "errorExpression cannot be evaluated: the code of $bpmnError is not a text"),
            ("$jobError('m', {}, 1, 'soon')", "errorExpression gives $jobError a retryIn that is no duration"),
            (
                "$jobError('m', {}, 1, 'P9999999999999D')",
                "errorExpression gives $jobError a retryIn that is no duration",
            ),
            ("$ignoreError({'a': '\\u0000'})", "errorExpression: variable 'a': holds a NUL"),
            ("$jobError('m', {'a': $pad('', 2000)})", "errorExpression: variable 'a': 2000 bytes"),
        ],
    )
    def test_is_a_failure_that_tells_the_error_too(self, expression: str, said: str) -> None:
        outcome = failure(expression)
        assert said in outcome.message
        assert outcome.message.endswith("; the error was HTTP_503: no answer")
        assert (outcome.code, outcome.permanent, outcome.retry_in) == ("EXPRESSION_FAILED", False, MINUTE)

    def test_keeps_the_whole_of_both_where_a_message_is_cut(self) -> None:
        long = Failure(message="x" * 1000, details="in ask", code="LONG")
        details = failure("{", long).details
        assert "x" * 1000 in details
        assert "in ask" in details

    def test_is_tried_again_whatever_the_error_was(self) -> None:
        assert not failure("{", NEVER).permanent
        assert failure("{", REFUSED).code == "EXPRESSION_FAILED"
