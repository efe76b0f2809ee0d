"""Topic request_routing: which process a request is for, and whether what it brings is what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError
from procos.request_kinds import kinds_in
from procos.settings import load_settings
from tasks.system.request_routing import RequestRoutingInput, request_routing, routed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procos.testing import StepRunner
    from tasks.context import TaskContext


def route(context_with: Callable[..., TaskContext], **variables: Any) -> str:
    context = context_with(load_settings({}, dotenv=None))
    return request_routing(RequestRoutingInput.model_validate(variables), context).process_to_execute


def refusal(context_with: Callable[..., TaskContext], **variables: Any) -> BusinessError:
    with pytest.raises(BusinessError) as raised:
        route(context_with, **variables)
    return raised.value


class TestRequestRouting:
    @pytest.mark.parametrize("kind", ["ai_query", "ai_query_process"])
    def test_names_the_process(self, context_with: Callable[..., TaskContext], kind: str) -> None:
        assert route(context_with, request_kind=kind, user_query="why?", request_id=7) == "ai_query_process"

    @pytest.mark.parametrize("variables", [{}, {"request_kind": 7}, {"request_kind": None}, {"request_kind": ["x"]}])
    def test_refuses_a_request_without_a_kind(
        self, context_with: Callable[..., TaskContext], variables: dict[str, Any]
    ) -> None:
        refused = refusal(context_with, **variables)
        words, _, known = refused.message.rpartition(": ")
        assert (refused.code, words) == ("UNKNOWN_REQUEST", "the kind of a request is missing, or no name; known kinds")
        assert {"ai_query", "text_generation"} <= set(known.split(", "))

    def test_refuses_a_kind_nobody_knows(self, context_with: Callable[..., TaskContext]) -> None:
        refused = refusal(context_with, request_kind="ai_qurey", user_query="why?")
        assert refused.code == "UNKNOWN_REQUEST"
        assert "did you mean ai_query?" in refused.message

    def test_refuses_input_and_names_every_field_but_no_value(self, context_with: Callable[..., TaskContext]) -> None:
        refused = refusal(context_with, request_kind="ai_query", max_tokens="secret", ai_provider="A SECRET")
        assert refused.code == "INVALID_REQUEST"
        assert all(name in refused.message for name in ("user_query: is missing", "max_tokens: ", "ai_provider: "))
        assert "secret" not in refused.message.lower()

    def test_takes_null_for_absent(self, context_with: Callable[..., TaskContext]) -> None:
        route(context_with, request_kind="ai_query", user_query="why?", ai_provider=None)
        assert refusal(context_with, request_kind="ai_query", user_query=None).code == "INVALID_REQUEST"

    def test_checks_no_bookkeeping(self, tmp_path: Path) -> None:
        (tmp_path / "order").mkdir()
        (tmp_path / "order" / "input.schema.json").write_text('{"additionalProperties": false}')
        variables = {"request_kind": "order", "request_id": 7, "process_to_execute": "x"}
        assert routed(RequestRoutingInput.model_validate(variables), kinds_in([tmp_path])).process_to_execute == "order"

    @pytest.mark.parametrize("schema", ["{", '{"type": "nonsense"}'])
    def test_calls_a_wrong_schema_a_matter_for_a_person(self, tmp_path: Path, schema: str) -> None:
        (tmp_path / "order").mkdir()
        (tmp_path / "order" / "input.schema.json").write_text(schema)
        with pytest.raises(PermanentError) as raised:
            routed(RequestRoutingInput(request_kind="order"), kinds_in([tmp_path]))
        assert raised.value.code == "SCHEMA_INVALID"


class TestStep:
    def test_takes_whatever_variables_a_request_brings(self, procos_steps: StepRunner) -> None:
        ended = procos_steps.run(
            "request_routing", {"request_kind": "ai_query", "user_query": "why?", "model_config": 1, "copy": {"a": 1}}
        )
        assert ended.variables == {"process_to_execute": "ai_query_process"}

    def test_is_a_bpmn_error_for_a_kind_that_is_no_text(self, procos_steps: StepRunner) -> None:
        ended = procos_steps.run("request_routing", request_kind=7, catches=["UNKNOWN_REQUEST"])
        assert ended.error_code == "UNKNOWN_REQUEST"
