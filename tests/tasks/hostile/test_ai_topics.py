"""What hostile variables cannot make the AI topics do: end in an error of a library, or pay for what cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procos.domain import variables as rules
from procos.settings import load_settings
from tasks.ai.ai_completion import AiCompletionInput, ai_completion
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.code_analysis import CodeAnalysisInput, code_analysis
from tasks.ai.text_extraction import TextExtractionInput, text_extraction
from tasks.ai.text_generation import TextGenerationInput, text_generation
from tests.tasks.hostile.endings import ANYTHING, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from tasks.context import TaskContext
    from tests.tasks.conftest import NO_REDIS, ProviderServer
else:
    from tests.tasks.conftest import NO_REDIS

HALF, NUL = "a\ud800b", "a\0b"
SAID = {"role": "user", "content": "hello"}
CALL = {"id": "c1", "name": "add", "arguments": {}}
TOOL = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOPICS: dict[str, tuple[type[BaseModel], Callable[..., BaseModel], dict[str, Any]]] = {
    "ai_query": (AiQueryInput, ai_query, {"user_query": "x"}),
    "ai_completion": (AiCompletionInput, ai_completion, {"prefix": "x"}),
    "text_generation": (TextGenerationInput, text_generation, {"messages": [SAID]}),
    "text_extraction": (TextExtractionInput, text_extraction, {"text": "x", "json_schema": SCHEMA}),
    "code_analysis": (CodeAnalysisInput, code_analysis, {"code": "x"}),
}


def told(**changes: Any) -> dict[str, Any]:
    return {"messages": [SAID | changes]}


def called(**changes: Any) -> dict[str, Any]:
    return {"messages": [SAID, {"role": "assistant", "tool_calls": [CALL | changes]}]}


REFUSED = [
    *(
        pytest.param(topic, {variable: text}, id=f"{topic}-{variable}-{name}")
        for topic, variable in [
            ("ai_query", "user_query"),
            ("ai_query", "model"),
            ("ai_query", "provider"),
            ("ai_completion", "prefix"),
            ("text_extraction", "text"),
            ("text_extraction", "instructions"),
            ("code_analysis", "code"),
            ("code_analysis", "language"),
            ("code_analysis", "file_name"),
        ]
        for text, name in ((HALF, "half"), (NUL, "nul"))
    ),
    pytest.param("ai_completion", {"stop": [HALF]}, id="stop-of-a-completion"),
    pytest.param("code_analysis", {"rules": [HALF]}, id="rule"),
    *(
        pytest.param("text_generation", variables, id=f"text_generation-{number}")
        for number, variables in enumerate([
            told(content=HALF),
            told(content=NUL),
            told(role="tool", tool_call_id=HALF),
            called(id=HALF),
            called(name=NUL),
            called(arguments=HALF),
            called(arguments={"a": [{"b": NUL}]}),
            called(arguments={HALF: 1}),
            called(arguments={"a": float("nan")}),
            {"messages": [SAID], "tool_results": [{"id": "c1", "content": {"a": HALF}}]},
            {"messages": [SAID], "tool_results": [{"id": HALF, "content": "a"}]},
            {"messages": [SAID], "tools": [TOOL | {"name": HALF}]},
            {"messages": [SAID], "tools": [TOOL | {"description": HALF}]},
            {"messages": [SAID], "tools": [TOOL | {"parameters": {"description": HALF}}]},
            {"messages": [SAID], "tools": [TOOL | {"parameters": {"minimum": float("inf")}}]},
            {"messages": [SAID], "stop": [HALF]},
            {
                "messages": [],
                "template": "classification",
                "template_variables": {"text": "x", "labels": ["praise", HALF]},
            },
        ])
    ),
]  # fmt: skip
SCHEMAS = [
    pytest.param("[" * 1500, id="endless-list"),
    pytest.param('{"anyOf":[' * 400 + "{}" + "]}" * 400, id="endless-schema"),
    pytest.param("nonsense", id="no-json"),
    pytest.param("", id="empty"),
    pytest.param('{"description": "\\ud800"}', id="half-a-pair-in-a-text"),
    pytest.param({"description": HALF}, id="half-a-pair"),
    pytest.param({"properties": {NUL: {}}}, id="nul-in-a-name"),
    pytest.param({"minimum": float("nan")}, id="no-number"),
]


@pytest.fixture(params=["openai", "ollama"])
def step(
    request: pytest.FixtureRequest, context_with: Callable[..., TaskContext], provider_server: ProviderServer
) -> TaskContext:
    """Return a step that one kind of provider would serve, if it were asked."""
    names = {
        "PROCOS_PROVIDERS__OWN__URL": provider_server.url,
        "PROCOS_PROVIDERS__OWN__MODEL": "model",
        "PROCOS_PROVIDERS__OWN__KIND": request.param,
        "PROCOS_REDIS_URL": NO_REDIS,
    }
    return context_with(load_settings(names, dotenv=None))


def code_of(topic: str, variables: dict[str, Any], step: TaskContext) -> str:
    model, function, usual = TOPICS[topic]
    return ending_of(lambda: function(model.model_validate({"provider": "own"} | usual | variables), step))


class TestHostileVariables:
    @pytest.mark.parametrize(("topic", "variables"), REFUSED)
    def test_are_refused_before_anybody_is_asked(
        self, topic: str, variables: dict[str, Any], step: TaskContext, provider_server: ProviderServer
    ) -> None:
        assert code_of(topic, variables, step) == "INVALID_INPUT"
        assert provider_server.requests == []

    @pytest.mark.parametrize("topic", ["text_extraction", "text_generation"])
    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_are_no_schema(
        self, topic: str, schema: object, step: TaskContext, provider_server: ProviderServer
    ) -> None:
        assert code_of(topic, {"json_schema": schema}, step) == "SCHEMA_INVALID"
        assert provider_server.requests == []

    def test_can_be_sent_where_they_are_a_template_s(self, step: TaskContext, provider_server: ProviderServer) -> None:
        variables = {"text": HALF, "audience": NUL, "language": "\ud800"}
        chosen = {"template": "summarization", "template_variables": variables, "messages": []}
        code_of("text_generation", chosen, step)
        assert len(provider_server.requests) == 1

    def test_can_be_sent_where_a_text_escapes_them(self, step: TaskContext, provider_server: ProviderServer) -> None:
        code_of("text_generation", called(arguments='{"a": "\\ud800", "b": "\\u0000"}'), step)
        code_of("text_generation", called(arguments='{"a": NaN}'), step)
        code_of("text_generation", called(arguments='{"a": ' * 700 + "{}" + "}" * 700), step)
        assert len(provider_server.requests) == 3


class TestAnyConversation:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.text() | ANYTHING, arguments=st.text() | ANYTHING, result=ANYTHING, parameters=ANYTHING)
    def test_ends_as_variables_that_can_be_stored_or_as_an_error_of_ours(
        self,
        openai_settings: Any,
        context_with: Callable[..., TaskContext],
        content: object,
        arguments: object,
        result: object,
        parameters: object,
    ) -> None:
        variables = {
            "messages": [
                SAID,
                {"role": "assistant", "content": content, "tool_calls": [CALL | {"arguments": arguments}]},
            ],
            "tool_results": [{"id": "c1", "content": result}],
            "tools": [TOOL | {"parameters": parameters}],
        }

        def stored() -> None:
            output = text_generation(TextGenerationInput.model_validate(variables), context_with(openai_settings))
            rules.check(output.model_dump(mode="json"))

        assert ending_of(stored) in {"", "INVALID_INPUT"}
