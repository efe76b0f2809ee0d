"""Topic error_handling: the class of an error by its code, what to do about it, and when that is an incident."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from procos.domain.errors import PermanentError
from procos.routes import ROUTES
from procos.settings import load_settings
from tasks.system.error_classes import ErrorAction, ErrorClass, action_for, class_of
from tasks.system.error_handling import LONGEST_MESSAGE, ErrorHandlingInput, error_handling, handled

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.testing import StepRunner
    from tasks.context import TaskContext

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
DECLARED = {code for route in ROUTES.values() for code in route.errors}


def handle(**fields: Any) -> dict[str, Any]:
    return handled(ErrorHandlingInput(**{"error_source": "step", **fields}), ROUTES, notify=False, now=NOW).model_dump()


class TestClass:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("", ErrorClass.TRANSIENT),
            ("TRANSIENT", ErrorClass.TRANSIENT),
            ("TransientError", ErrorClass.TRANSIENT),
            ("ConnectionResetError", ErrorClass.TRANSIENT),
            ("ReadTimeout", ErrorClass.TRANSIENT),
            ("RateLimited", ErrorClass.LIMITED),
            ("RATE_LIMITED", ErrorClass.LIMITED),
            ("INVALID_INPUT", ErrorClass.BUSINESS),
            ("VALIDATION_FAILED", ErrorClass.BUSINESS),
            ("OUT_OF_STOCK", ErrorClass.BUSINESS),
            ("404", ErrorClass.BUSINESS),
            ("PERMANENT", ErrorClass.PERMANENT),
            ("AUTH_FAILED", ErrorClass.PERMANENT),
            ("STARTED_TOO_OFTEN", ErrorClass.PERMANENT),
            ("SYSTEM_UNHEALTHY", ErrorClass.SYSTEM),
            ("EngineUnreachableError", ErrorClass.SYSTEM),
            ("LOST", ErrorClass.SYSTEM),
        ],
    )
    def test_follows_from_the_code(self, code: str, expected: ErrorClass) -> None:
        assert class_of(code, business=DECLARED) is expected

    @pytest.mark.parametrize("code", sorted(DECLARED))
    def test_of_every_declared_bpmn_error_is_business(self, code: str) -> None:
        assert class_of(code, business=DECLARED) is ErrorClass.BUSINESS

    def test_is_business_for_a_declared_code_that_looks_like_an_exception(self) -> None:
        assert class_of("OutOfStock", business={"OutOfStock"}) is ErrorClass.BUSINESS

    def test_of_what_the_system_reports_is_system_unless_the_code_says_more(self) -> None:
        assert class_of("", source="system") is ErrorClass.SYSTEM
        assert class_of("SOMETHING", source="system") is ErrorClass.SYSTEM
        assert class_of("AUTH_FAILED", source="system") is ErrorClass.PERMANENT


class TestAction:
    @pytest.mark.parametrize("error_class", [ErrorClass.TRANSIENT, ErrorClass.LIMITED])
    def test_is_a_retry_three_times_and_then_an_incident(self, error_class: ErrorClass) -> None:
        actions = [action_for(error_class, attempt=attempt) for attempt in range(5)]
        assert actions == [ErrorAction.RETRY] * 3 + [ErrorAction.INCIDENT] * 2

    @pytest.mark.parametrize("attempt", [0, 9])
    def test_of_the_others_does_not_depend_on_attempts(self, attempt: int) -> None:
        assert action_for(ErrorClass.BUSINESS, attempt=attempt) is ErrorAction.NONE
        assert action_for(ErrorClass.PERMANENT, attempt=attempt) is ErrorAction.INCIDENT
        assert action_for(ErrorClass.SYSTEM, attempt=attempt) is ErrorAction.INCIDENT


class TestErrorHandling:
    def test_records_what_is_known(self) -> None:
        assert handle(error_code="SYSTEM_UNHEALTHY", error_message="redis: away") == {
            "error_class": "system",
            "error_action": "incident",
            "error_record": {
                "class": "system",
                "code": "SYSTEM_UNHEALTHY",
                "source": "step",
                "message": "redis: away",
                "at": "2026-11-28T12:00:00+00:00",
            },
            "notify": False,
        }

    def test_needs_no_more_than_a_source(self, context_with: Callable[..., TaskContext]) -> None:
        context = context_with(load_settings({}, dotenv=None))
        assert error_handling(ErrorHandlingInput(error_source="step"), context).error_action == "retry"
        with pytest.raises(ValidationError, match="error_source"):
            ErrorHandlingInput.model_validate({})

    @pytest.mark.parametrize(
        ("audiences", "expected"),
        [('{"operators": [{"connection": "mail"}]}', True), ('{"operators": []}', False), ('{"default": []}', False)],
    )
    def test_says_whether_there_are_operators_to_tell(
        self, context_with: Callable[..., TaskContext], audiences: str, *, expected: bool
    ) -> None:
        context = context_with(load_settings({"PROCOS_NOTIFICATION_AUDIENCES": audiences}, dotenv=None))
        assert error_handling(ErrorHandlingInput(error_source="step"), context).notify is expected

    def test_cuts_a_long_message(self) -> None:
        assert len(handle(error_message="x" * 5000)["error_record"]["message"]) == LONGEST_MESSAGE

    def test_is_an_incident_where_the_model_wants_one(self) -> None:
        with pytest.raises(PermanentError, match=r"^step: no key; set raise_incident to false") as raised:
            handle(error_code="AUTH_FAILED", error_message="no key", raise_incident=True)
        assert raised.value.code == "AUTH_FAILED"

    def test_is_an_incident_with_a_code_where_the_error_has_none(self) -> None:
        with pytest.raises(PermanentError, match="no message") as raised:
            handle(error_source="system", raise_incident=True)
        assert raised.value.code == "SYSTEM"

    @pytest.mark.parametrize("code", ["OUT_OF_STOCK", "TRANSIENT"])
    def test_is_none_for_what_needs_no_person(self, code: str) -> None:
        assert handle(error_code=code, raise_incident=True)["error_action"] in {"none", "retry"}


class TestStep:
    def test_takes_numbers_and_booleans_as_models_write_them(self, procos_steps: StepRunner) -> None:
        ended = procos_steps.run(
            "error_handling", error_source="system", error_attempt="4", raise_incident="false", error_message=None
        )
        assert ended.variables["error_class"] == "system"
