"""What a hostile variable cannot make topic service_call do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procos.settings import load_settings
from tasks.generic.service_call import ServiceCallInput, service_call
from tests.tasks.hostile.endings import ANYTHING, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.context import TaskContext

NAMES = {
    "PROCOS_CONNECTIONS__SLACK__TYPE": "slack",
    "PROCOS_CONNECTIONS__SLACK__TOKEN": "xoxb-test-0123456789",
    "PROCOS_CONNECTIONS__SLACK__BASE_URL": "http://127.0.0.1:9",
}
DEEP: Any = {}
for _ in range(50):
    DEEP = {"a": DEEP}

REFUSED = [
    pytest.param({"operation": "__class__"}, id="operation-of-python"),
    pytest.param({"operation": "call_service"}, id="method-that-is-no-operation"),
    pytest.param({"operation": "_connection"}, id="field-of-the-adapter"),
    pytest.param({"operation": "x" * 101}, id="endless-operation"),
    pytest.param({"operation": "send_message\n"}, id="operation-and-a-line-break"),
    pytest.param({"operation": None}, id="no-operation"),
    pytest.param({"connection": "../../etc/passwd"}, id="connection-with-a-path"),
    pytest.param({"connection": "slack\0"}, id="connection-with-nul"),
    pytest.param({"connection": ""}, id="no-connection"),
    pytest.param({"parameters": "[" * 100_000}, id="deep-json"),
    pytest.param({"parameters": DEEP}, id="deep-object"),
    pytest.param({"parameters": {"a": [0] * 10_001}}, id="many-values"),
    pytest.param({"parameters": {"a": "x" * 100_001}}, id="huge-text"),
    pytest.param({"parameters": "[1, 2]"}, id="list-for-an-object"),
    pytest.param({"parameters": '{"message": NaN}'}, id="no-number"),
    pytest.param({"parameters": {"message": "x", "token": "stolen"}}, id="token-of-ones-own"),
    pytest.param({"parameters": {"message": "x", "base_url": "http://evil.test"}}, id="address-of-ones-own"),
    pytest.param({"parameters": {"__class__": "x"}}, id="parameter-of-python"),
]


@pytest.fixture
def step(context_with: Callable[..., TaskContext]) -> TaskContext:
    return context_with(load_settings(NAMES, dotenv=None))


def code_of(variables: dict[str, Any], step: TaskContext) -> str:
    return ending_of(lambda: service_call(ServiceCallInput.model_validate(variables), step))


class TestHostileVariables:
    @pytest.mark.parametrize("variables", REFUSED)
    def test_are_refused_before_anybody_is_asked(self, variables: dict[str, Any], step: TaskContext) -> None:
        given = {"connection": "slack", "operation": "send_message", "parameters": {"message": "x"}, **variables}
        assert code_of(given, step) in {"INVALID_INPUT", "CONNECTION_UNKNOWN"}


class TestAnyVariables:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        connection=st.just("slack") | ANYTHING,
        operation=st.sampled_from(["send_message", "upload_file"]) | ANYTHING,
        parameters=st.dictionaries(st.sampled_from(["message", "channel", "file", "blocks"]), ANYTHING) | ANYTHING,
    )
    def test_end_as_a_value_or_an_error_of_ours(
        self, step: TaskContext, connection: object, operation: object, parameters: object
    ) -> None:
        given = {"connection": connection, "operation": operation, "parameters": parameters}
        assert code_of(given, step) in {"INVALID_INPUT", "CONNECTION_UNKNOWN", "UNREACHABLE", "BLOBS_UNSET"}
