"""Which outcomes a model may map, and which it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from procos.domain.dispatch import Dispatch
from procos.domain.mapping import OutputMapping
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome
from procos.domain.retry import RetryPolicy
from procos.settings import load_settings
from procos.testing import dispatch_ref
from tasks.mapping.outcomes import mapped

SETTINGS = load_settings({}, dotenv=None)
POLICY = RetryPolicy(attempts=5)
ALL = OutputMapping(
    result_expression="{'mapped': true}", error_expression="$ignoreError({'left': retries, 'code': error.code})"
)
FAILED = Failure(message="no", code="BAD")


def outcome(given: Outcome, mapping: OutputMapping | None = ALL, **ref: int | None) -> Outcome:
    dispatch = Dispatch(ref=dispatch_ref(**ref), variables={}, mapping=mapping)  # type: ignore[arg-type]  # retries
    return mapped(given, dispatch, POLICY, settings=SETTINGS)


class TestMapped:
    @pytest.mark.parametrize("given", [Completion(variables={"a": 1}), FAILED, BpmnError(code="X")])
    def test_leaves_everything_alone_where_the_model_says_nothing(self, given: Outcome) -> None:
        assert outcome(given, None) is given

    def test_maps_a_result(self) -> None:
        assert outcome(Completion()) == Completion(variables={"mapped": True})

    @pytest.mark.parametrize("given", [FAILED, BpmnError(code="BAD")])
    def test_maps_an_error(self, given: Outcome) -> None:
        assert outcome(given) == Completion(variables={"left": 4, "code": "BAD"})

    @pytest.mark.parametrize("given", [FAILED, BpmnError(code="BAD")])
    def test_leaves_errors_alone_where_only_results_are_mapped(self, given: Outcome) -> None:
        assert outcome(given, OutputMapping(result_expression="{}")) is given

    def test_leaves_results_alone_where_only_errors_are_mapped(self) -> None:
        assert outcome(Completion(variables={"a": 1}), OutputMapping(error_expression="1")) == Completion(
            variables={"a": 1}
        )

    def test_never_maps_a_task_that_called_exit(self) -> None:
        given = replace(FAILED, code="SYSTEM_EXIT", permanent=True)
        assert outcome(given) is given

    def test_hands_its_own_failures_to_no_expression(self) -> None:
        found = outcome(Completion(), replace(ALL, result_expression="1"))
        assert isinstance(found, Failure)
        assert (found.code, found.permanent) == ("EXPRESSION_FAILED", False)

    def test_makes_an_incident_of_what_cannot_be_stored(self) -> None:
        found = outcome(Completion(), replace(ALL, result_expression="{'': 1}"))
        assert isinstance(found, Failure)
        assert (found.code, found.permanent) == ("VARIABLE", True)

    @pytest.mark.parametrize(("fetched", "left"), [(None, 4), (2, 1), (1, 0)])
    def test_tells_how_many_tries_would_be_left(self, fetched: int | None, left: int) -> None:
        assert outcome(FAILED, retries=fetched) == Completion(variables={"left": left, "code": "BAD"})

    def test_counts_tries_as_the_model_says(self) -> None:
        ref = replace(dispatch_ref(), retry_config="R2/PT1M")
        dispatch = Dispatch(ref=ref, variables={}, mapping=ALL)
        assert mapped(FAILED, dispatch, POLICY, settings=SETTINGS) == Completion(variables={"left": 1, "code": "BAD"})
