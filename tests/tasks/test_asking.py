"""The course of a question: who may answer, what each is asked, and answers of a shape, corrected once."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TransientError
from procos.settings import load_settings
from tasks.ai.asking import ask
from tasks.ai.chain import Called
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role, Tool, ToolCall
from tasks.ai.providers import health
from tasks.ai.reply import Reply, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.ai.chain import Candidate
    from tasks.ai.provider import Profile
    from tasks.context import TaskContext

OPENAI = {"PROCOS_OPENAI_API_KEY": "key", "PROCOS_OPENAI_MODEL": "first"}
OTHER = {"PROCOS_PROVIDERS__OTHER__URL": "https://other/v1", "PROCOS_PROVIDERS__OTHER__MODEL": "second"}
BOTH = OPENAI | OTHER | {"PROCOS_AI_FALLBACK": "other"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
AWAY = TransientError("away", code="PROVIDER_UNREACHABLE")


def answer(text: str, **more: Any) -> Called:
    said = {"model": "m-1", "finish_reason": FinishReason.STOP, "usage": {"total_tokens": 5}} | more
    return Called(answer=Answer(text=text, **said), cost=Decimal("0.25"))


class Calls:
    """Answers questions with what it was told, one after another."""

    def __init__(self, *outcomes: Called | Exception) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, Question]] = []
        self.kept = ""
        """Whose answer is kept from an earlier run."""

    def kept_among(self, candidates: Sequence[Candidate]) -> Candidate | None:
        return next((each for each in candidates if each.profile.name == self.kept), None)

    def __call__(self, profile: Profile, question: Question) -> Called:
        self.asked.append((profile.name, question))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def asked(context_with: Callable[..., TaskContext]) -> Callable[..., Reply]:
    def asked(
        calls: Calls, environ: dict[str, str] | None = None, *, is_cancelled: bool = False, **wishes: Any
    ) -> Reply:
        settings = load_settings(environ or OPENAI, dotenv=None)
        said = (Message(role=Role.USER, content="how many?"),)
        wish = {"messages": said, "provider": "auto", "model": None, "max_tokens": 9, "temperature": 0.0} | wishes
        return ask(Wish(**wish), context_with(settings, cancelled=lambda: is_cancelled), call=calls)

    return asked


class TestWhoIsAsked:
    def test_is_nobody_where_the_step_is_cancelled_during_the_choice(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer("3"))
        health.forget()
        with pytest.raises(StepCancelled):
            asked(calls, OPENAI | {"PROCOS_OLLAMA_URL": "http://127.0.0.1:9"}, is_cancelled=True)
        assert calls.asked == []

    def test_is_who_the_policy_chooses_and_then_the_fallback(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(AWAY, answer("3"))
        reply = asked(calls, BOTH)
        assert [(name, question.model) for name, question in calls.asked] == [("openai", "first"), ("other", "second")]
        assert (reply.provider, [attempt.outcome for attempt in reply.attempts]) == (
            "other", ["PROVIDER_UNREACHABLE", "answered"],
        )  # fmt: skip

    def test_is_the_one_that_is_named_with_the_model_that_is_named(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(AWAY, answer("3"))
        asked(calls, BOTH | {"PROCOS_AI_FALLBACK": "other,openai"}, provider="other", model="big")
        assert [(name, question.model) for name, question in calls.asked] == [("other", "big"), ("openai", "first")]

    def test_is_who_may_not_answer_now_where_there_is_nobody_else(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(BusinessError("BUDGET_EXCEEDED", "too dear"))
        priced = {"PROCOS_OPENAI_INPUT_PRICE": "1000", "PROCOS_OPENAI_OUTPUT_PRICE": "1000"}
        with pytest.raises(BusinessError, match="BUDGET_EXCEEDED"):
            asked(calls, OPENAI | priced | {"PROCOS_AI_BUDGET_CALL": "0.0001"})
        assert [name for name, _ in calls.asked] == ["openai"]

    def test_is_whoever_has_answered_an_earlier_run(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer("3"))
        calls.kept = "other"
        assert asked(calls, OPENAI | OTHER).provider == "other"

    def test_is_nobody_who_takes_no_tools_where_there_are_some(self, asked: Callable[..., Reply]) -> None:
        tools = (Tool(name="add", description="", parameters={}),)
        calls = Calls(answer("3"))
        asked(calls, BOTH | {"PROCOS_OPENAI_TOOLS": "false"}, tools=tools)
        assert [name for name, _ in calls.asked] == ["other"]
        with pytest.raises(PermanentError, match="openai takes no tools"):
            asked(calls, OPENAI | {"PROCOS_OPENAI_TOOLS": "false"}, tools=tools)
        with pytest.raises(PermanentError, match="none of openai may be offered tools"):
            asked(calls, OPENAI | {"PROCOS_OPENAI_TOOLS": "false"}, provider="openai", tools=tools)

    def test_is_not_somebody_who_is_not_configured(self, asked: Callable[..., Reply]) -> None:
        with pytest.raises(PermanentError, match="unknown AI provider 'nobody'"):
            asked(Calls(), OPENAI | {"PROCOS_AI_FALLBACK": "nobody"})


class TestQuestion:
    def test_carries_the_steps_idempotency_key(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer("3"))
        asked(calls)
        assert calls.asked[0][1].idempotency_key == "task-1"

    def test_tells_the_schema_in_words_where_a_provider_takes_none(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer('{"n": 3}'))
        asked(calls, OPENAI | {"PROCOS_OPENAI_JSON_SCHEMA": "false"}, json_schema=SCHEMA)
        question = calls.asked[0][1]
        assert question.json_schema is None
        assert json.dumps(SCHEMA) in question.messages[0].content

    def test_leaves_without_personal_data(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer("3"))
        said = (Message(role=Role.USER, content="write to ada@example.org"),)
        asked(calls, OPENAI | {"PROCOS_AI_REDACTOR": "patterns"}, messages=said)
        assert calls.asked[0][1].messages[0].content == "write to [EMAIL]"


class TestAnswerOfAShape:
    def test_is_read(self, asked: Callable[..., Reply]) -> None:
        assert asked(Calls(answer('```json\n{"n": 3}\n```')), json_schema=SCHEMA).value == {"n": 3}

    def test_is_corrected_once(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer('{"n": "three"}'), answer('{"n": 3}'))
        reply = asked(calls, json_schema=SCHEMA)
        assert reply.value == {"n": 3}
        assert [attempt.outcome for attempt in reply.attempts] == ["answered", "answered"]
        assert (reply.cost, reply.usage) == (Decimal("0.5"), {"total_tokens": 10})
        second = calls.asked[1][1]
        assert [message.role for message in second.messages] == ["user", "assistant", "user"]
        assert "n" in second.messages[-1].content
        assert second.idempotency_key != calls.asked[0][1].idempotency_key

    def test_is_a_bpmn_error_where_the_second_does_not_fit(self, asked: Callable[..., Reply]) -> None:
        with pytest.raises(BusinessError) as raised:
            asked(Calls(answer("three"), answer('{"n": "three"}')), json_schema=SCHEMA)
        assert raised.value.code == "VALIDATION_FAILED"
        assert raised.value.variables["validation_errors"]

    def test_is_not_corrected_where_it_was_cut_off(self, asked: Callable[..., Reply]) -> None:
        calls = Calls(answer('{"n": 3', finish_reason=FinishReason.LENGTH))
        with pytest.raises(BusinessError, match="cut off by max_tokens"):
            asked(calls, json_schema=SCHEMA)
        assert len(calls.asked) == 1

    def test_is_not_asked_of_who_wants_tools_called(self, asked: Callable[..., Reply]) -> None:
        call = ToolCall(id="c", name="add", arguments="{}")
        calls = Calls(answer("", tool_calls=(call,), finish_reason=FinishReason.TOOL_CALLS))
        tools = (Tool(name="add", description="", parameters={}),)
        reply = asked(calls, json_schema=SCHEMA, tools=tools)
        assert (reply.answer.tool_calls, reply.value, len(calls.asked)) == ((call,), None, 1)

    def test_is_asked_of_who_wants_tools_called_that_nobody_offered(self, asked: Callable[..., Reply]) -> None:
        call = ToolCall(id="c", name="add", arguments="{}")
        calls = Calls(answer("three", tool_calls=(call,)), answer('{"n": 3}'))
        assert asked(calls, json_schema=SCHEMA).value == {"n": 3}


class TestReply:
    def test_costs_what_is_not_known_where_one_attempt_is_not(self, asked: Callable[..., Reply]) -> None:
        first = answer('{"n": "three"}')
        unknown = Called(answer=answer('{"n": 3}').answer, cost=None)
        assert asked(Calls(first, unknown), json_schema=SCHEMA).cost is None

    def test_costs_nothing_where_it_was_kept(self, asked: Callable[..., Reply]) -> None:
        kept = Called(answer=answer("3").answer, cost=Decimal(0), was_kept=True)
        reply = asked(Calls(kept))
        assert (reply.cost, reply.attempts[0].outcome) == (Decimal(0), "kept")
