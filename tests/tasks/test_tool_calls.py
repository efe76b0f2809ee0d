"""Tool calls of a model: whatever it writes into one is an answer that was paid for, and can be handed on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain import variables as rules
from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.text_extraction import TextExtractionInput, text_extraction
from tasks.ai.text_generation import TextGenerationInput, text_generation
from tasks.ai.tool_arguments import LEVELS_AROUND, read_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.settings import Settings
    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

TOOL = {"name": "lookup_order", "description": "looks it up", "parameters": {"type": "object"}}
SAID = {"role": "user", "content": "Where is my order?"}
DEEPEST = rules.DEEPEST - LEVELS_AROUND


def nested(levels: int) -> str:
    return '{"a": ' * (levels - 1) + "{}" + "}" * (levels - 1)


def call(arguments: str = '{"order_id": "17"}', **changes: str) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "lookup_order", "arguments": arguments}, **changes}


@pytest.fixture
def context(openai_settings: Settings, context_with: Callable[..., TaskContext]) -> TaskContext:
    return context_with(openai_settings)


@pytest.fixture
def answered(context: TaskContext, provider_server: ProviderServer) -> Callable[..., dict[str, Any]]:
    """Return the variables of a step whose model calls tools, all of which an engine takes."""

    def answered(*calls: dict[str, Any], messages: tuple[Any, ...] = (SAID,)) -> dict[str, Any]:
        provider_server.say(None, finish_reason="tool_calls", tool_calls=list(calls))
        wanted = TextGenerationInput.model_validate({"messages": messages, "tools": [TOOL]})
        output = text_generation(wanted, context).model_dump(mode="json")
        rules.check(output)
        return output

    return answered


class TestToolCall:
    @pytest.mark.parametrize(
        ("written", "arguments"),
        [
            ('{"order_id": "17\\u0000"}', {"order_id": "17"}),
            ('{"order_id": "\\ud80017"}', {"order_id": "17"}),
            ('{"order_id": ["\\u001b[2J17"]}', {"order_id": ["[2J17"]}),
            ('{"order\\u0000_id": "17"}', {"order_id": "17"}),
            ('{"order_id": "17\0"}', {"order_id": "17"}),
        ],
    )
    def test_is_handed_on_without_what_cannot_be_stored(
        self, answered: Callable[..., dict[str, Any]], written: str, arguments: object
    ) -> None:
        output = answered(call(written))
        assert (output["tool_calls"][0]["arguments"], output["cleaned"]) == (arguments, True)

    @pytest.mark.parametrize(
        "written",
        [
            "17",
            "{",
            '{"order_id": NaN}',
            '{"order_id": 1e999}',
            f'{{"order_id": {"9" * rules.LONGEST_STRING}}}',
            '{"__type__": "a", "__value__": "b"}',
            nested(DEEPEST + 1),
            nested(10_000),
        ],
        ids=range(8),
    )
    def test_has_the_text_of_arguments_no_variable_can_carry(
        self, answered: Callable[..., dict[str, Any]], written: str
    ) -> None:
        output = answered(call(written))
        assert (output["tool_calls"][0]["arguments"], output["cleaned"]) == (written, False)

    def test_may_be_as_deep_as_the_variable_of_its_conversation(self, answered: Callable[..., dict[str, Any]]) -> None:
        assert answered(call(nested(DEEPEST)))["tool_calls"][0]["arguments"] == json.loads(nested(DEEPEST))

    def test_may_have_a_long_id(self, answered: Callable[..., dict[str, Any]]) -> None:
        assert answered(call(id="c" * 5000))["tool_calls"][0]["id"] == "c" * 5000

    def test_may_be_one_of_many(self, answered: Callable[..., dict[str, Any]]) -> None:
        assert len(answered(*[call(id=f"c{number}") for number in range(200)])["tool_calls"]) == 200

    def test_of_the_conversation_so_far_can_be_handed_on_too(self, answered: Callable[..., dict[str, Any]]) -> None:
        asked = {"id": "c0", "name": "lookup_order", "arguments": '{"order_id": "\\u000017"}'}
        spoken = {"role": "assistant", "tool_calls": [asked]}
        found = {"role": "tool", "content": "unknown", "tool_call_id": "c0"}
        output = answered(call(), messages=(SAID, spoken, found))
        assert output["messages"][1]["tool_calls"][0]["arguments"] == {"order_id": "17"}


class TestToolCallNobodyOffered:
    def test_is_no_answer(self, context: TaskContext, provider_server: ProviderServer) -> None:
        provider_server.say(None, finish_reason="tool_calls", tool_calls=[call()])
        with pytest.raises(TransientError) as raised:
            ai_query(AiQueryInput(user_query="Where?"), context)
        assert raised.value.code == "NO_ANSWER"

    def test_is_no_answer_either_where_no_tokens_were_left(
        self, context: TaskContext, provider_server: ProviderServer
    ) -> None:
        provider_server.say(None, finish_reason="length", tool_calls=[call()])
        with pytest.raises(PermanentError, match="allow more"):
            ai_query(AiQueryInput(user_query="Where?"), context)

    def test_is_dropped_beside_a_text(self, context: TaskContext, provider_server: ProviderServer) -> None:
        provider_server.say("In Kiel.", finish_reason="tool_calls", tool_calls=[call()])
        output = text_generation(TextGenerationInput.model_validate({"messages": [SAID]}), context)
        assert (output.ai_response, output.tool_calls, output.finish_reason) == ("In Kiel.", [], "unknown")

    def test_does_not_stand_for_an_answer_of_a_shape(
        self, context: TaskContext, provider_server: ProviderServer
    ) -> None:
        provider_server.say("not json at all", tool_calls=[call()])
        wanted = TextExtractionInput(text="Pay 42.50.", json_schema={"type": "object"})
        with pytest.raises(BusinessError, match="VALIDATION_FAILED"):
            text_extraction(wanted, context)
        assert len(provider_server.requests) == 2


class TestReadArguments:
    def test_are_the_object_a_text_holds(self) -> None:
        read = read_arguments('{"a": [1, "x\\ny"]}')
        assert (read.value, read.was_cleaned) == ({"a": [1, "x\ny"]}, False)

    @pytest.mark.parametrize("text", ["", "[1]", '"a"', '{"a": 1, "a": 2}'])
    def test_are_the_text_where_it_holds_none(self, text: str) -> None:
        assert read_arguments(text).value == text
