"""An outcome leaves the worker without the secrets of its run, whichever kind it is of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from procos.domain.outcome import BpmnError, Completion, Failure, Outcome, Postponement
from procos.domain.redaction import Redaction
from procos.logs import keep_out_of_logs
from tasks.secrets.redaction import without_secrets

SECRET = "a-secret-of-this-run"  # a test's
EARLIER = "a-secret-of-an-earlier-run"


@pytest.fixture
def run() -> Redaction:
    run = Redaction()
    run.add(SECRET)
    return run


class TestOutcome:
    @pytest.mark.parametrize(
        ("outcome", "left"),
        [
            (
                Completion(variables={"a": [SECRET], SECRET: {"b": f"<{SECRET}>"}, "n": 1}),
                Completion(variables={"a": ["***"], "***": {"b": "<***>"}, "n": 1}),
            ),
            (
                BpmnError(code=SECRET, message=f"no {SECRET}", variables={"v": SECRET}),
                BpmnError(code="***", message="no ***", variables={"v": "***"}),
            ),
            (
                Postponement(retry_in=timedelta(seconds=1), reason=f"slow {SECRET}"),
                Postponement(retry_in=timedelta(seconds=1), reason="slow ***"),
            ),
            (
                Failure(message=SECRET, details=f"in {SECRET}", code=SECRET, permanent=True),
                Failure(message="***", details="in ***", code="***", permanent=True),
            ),
        ],
    )
    def test_is_without_the_secrets_of_its_run(self, run: Redaction, outcome: Outcome, left: Outcome) -> None:
        assert without_secrets(outcome, run) == left

    @pytest.mark.parametrize(
        ("outcome", "left"),
        [
            (Completion(variables={"a": EARLIER}), Completion(variables={"a": EARLIER})),
            (
                BpmnError(code=EARLIER, message=EARLIER, variables={"v": EARLIER}),
                BpmnError(code=EARLIER, message="***", variables={"v": EARLIER}),
            ),
            (
                Postponement(retry_in=timedelta(0), reason=EARLIER),
                Postponement(retry_in=timedelta(0), reason="***"),
            ),
            (Failure(message=EARLIER, details=EARLIER), Failure(message="***", details="***")),
        ],
    )
    def test_tells_people_nothing_of_earlier_runs_and_keeps_its_data(self, outcome: Outcome, left: Outcome) -> None:
        keep_out_of_logs(EARLIER)
        assert without_secrets(outcome, Redaction()) == left

    def test_that_was_handed_nothing_is_left_alone(self) -> None:
        outcome = Completion(variables={"a": "x"})
        assert without_secrets(outcome, Redaction()) is outcome
