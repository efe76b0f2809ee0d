"""Ollama's own API: what is sent, how its lines read, and what its troubles become."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TransientError
from procos.settings import load_settings
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role, Tool, ToolCall
from tasks.ai.provider import Watch
from tasks.ai.providers import ollama as ollama_module
from tasks.ai.providers.registry import profile_named, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tasks.conftest import ProviderServer

SAID = Message(role=Role.USER, content="What is six times seven?")
LAST = {
    "model": "llama3.2", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
    "total_duration": 5, "load_duration": 1, "prompt_eval_count": 8, "prompt_eval_duration": 2, "eval_count": 2,
    "eval_duration": 2,
}  # fmt: skip
"""The last line as Ollama's documentation shows it."""


def words(content: str, **more: Any) -> dict[str, Any]:
    return {"model": "llama3.2", "message": {"role": "assistant", "content": content, **more}, "done": False}


def question(*messages: Message, **more: Any) -> Question:
    return Question(messages=messages or (SAID,), model="llama3.2", max_tokens=50, temperature=0.0, **more)


@pytest.fixture
def reply(provider_server: ProviderServer) -> Callable[..., None]:
    def reply(*lines: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        provider_server.reply(
            "".join(json.dumps(line) + "\n" for line in lines).encode(), status=status, headers=headers
        )

    return reply


@pytest.fixture
def ask(provider_server: ProviderServer) -> Callable[..., Answer]:
    def ask(asked: Question | None = None, watch: Watch | None = None, seconds: float = 5.0, **environ: str) -> Answer:
        settings = load_settings({"PROCOS_OLLAMA_URL": provider_server.url, **environ}, dotenv=None)
        provider = provider_of(profile_named("ollama", settings))
        return provider.complete(asked or question(), within=timedelta(seconds=seconds), watch=watch or Watch())

    return ask


class TestRequest:
    def test_always_says_how_much_room_the_question_needs(
        self, ask: Callable[..., Answer], reply: Callable[..., None], provider_server: ProviderServer
    ) -> None:
        reply(words("42"), LAST)
        ask()
        ask(question(stop=("\n",)), PROCOS_OLLAMA_CONTEXT_WINDOW="2048")
        assert [body["options"] for _, _, body in provider_server.requests] == [
            {"num_ctx": 8192, "num_predict": 50, "temperature": 0.0},
            {"num_ctx": 2048, "num_predict": 50, "temperature": 0.0, "stop": ["\n"]},
        ]

    def test_hands_on_schema_tools_and_what_they_said(
        self, ask: Callable[..., Answer], reply: Callable[..., None], provider_server: ProviderServer
    ) -> None:
        reply(words("42"), LAST)
        schema = {"type": "object"}
        call = ToolCall(id="call_0", name="add", arguments='{"a": 1}')
        ask(
            question(
                SAID,
                Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
                Message(role=Role.TOOL, content="2", tool_call_id="call_0"),
                json_schema=schema,
                tools=(Tool(name="add", description="adds", parameters=schema),),
            )
        )
        body = provider_server.requests[0][2]
        assert body["format"] == schema
        assert body["tools"][0]["function"] == {"name": "add", "description": "adds", "parameters": schema}
        assert body["messages"][1]["tool_calls"] == [{"function": {"name": "add", "arguments": {"a": 1}}}]
        assert body["messages"][2] == {"role": "tool", "content": "2", "tool_name": "add"}

    def test_keeps_the_schema_from_a_server_that_takes_none(
        self, ask: Callable[..., Answer], reply: Callable[..., None], provider_server: ProviderServer
    ) -> None:
        reply(words("42"), LAST)
        ask(question(json_schema={"type": "object"}), PROCOS_OLLAMA_JSON_SCHEMA="false")
        assert "format" not in provider_server.requests[0][2]


class TestAnswer:
    def test_is_put_together_from_its_lines(self, ask: Callable[..., Answer], reply: Callable[..., None]) -> None:
        heard: list[str] = []
        reply(words("", thinking="hm"), words("4"), words("2\x00"), LAST)
        answer = ask(watch=Watch(said=heard.append))
        assert (answer.text, answer.model, answer.finish_reason) == ("42", "llama3.2", FinishReason.STOP)
        assert "".join(heard) == "42\x00"
        assert answer.was_cleaned
        assert answer.usage == {
            "prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10,
            "total_duration": 5, "load_duration": 1, "prompt_eval_duration": 2, "eval_duration": 2,
        }  # fmt: skip

    def test_may_want_tools_called(self, ask: Callable[..., Answer], reply: Callable[..., None]) -> None:
        wanted = {"function": {"name": "add", "arguments": {"a": 6, "b": "sieben"}}}
        reply(words("", tool_calls=[wanted, wanted]), LAST)
        answer = ask()
        assert answer.finish_reason is FinishReason.TOOL_CALLS
        assert [call.id for call in answer.tool_calls] == ["call_0", "call_1"]
        assert json.loads(answer.tool_calls[0].arguments) == {"a": 6, "b": "sieben"}

    def test_cut_by_its_limit_says_so(self, ask: Callable[..., Answer], reply: Callable[..., None]) -> None:
        reply(words("4"), LAST | {"done_reason": "length"})
        assert ask().finish_reason is FinishReason.LENGTH


class TestQuestionThatWasCut:
    LONG = question(Message(role=Role.USER, content="many words, " * 2000))

    @pytest.mark.parametrize(
        ("counted", "written"), [(1000, 2), (1999, 49), (2047, 1), (2048, 0)], ids=["half", "full", "brim", "all"]
    )
    def test_is_no_question_answered(
        self, ask: Callable[..., Answer], reply: Callable[..., None], counted: int, written: int
    ) -> None:
        reply(words("42"), LAST | {"prompt_eval_count": counted, "eval_count": written})
        with pytest.raises(BusinessError) as raised:
            ask(self.LONG, PROCOS_OLLAMA_CONTEXT_WINDOW="2048")
        assert raised.value.code == "CONTEXT_TOO_LONG"

    def test_is_told_from_one_that_fits(self, ask: Callable[..., Answer], reply: Callable[..., None]) -> None:
        reply(words("42"), LAST | {"prompt_eval_count": 6000})
        assert ask(self.LONG, PROCOS_OLLAMA_CONTEXT_WINDOW="8192").text == "42"

    def test_is_not_suspected_where_the_server_counts_nothing(
        self, ask: Callable[..., Answer], reply: Callable[..., None]
    ) -> None:
        reply(words("42"), LAST | {"prompt_eval_count": None})
        assert ask(self.LONG, PROCOS_OLLAMA_CONTEXT_WINDOW="2048").text == "42"


class TestTrouble:
    def test_may_come_in_mid_answer(self, ask: Callable[..., Answer], reply: Callable[..., None]) -> None:
        reply(words("4"), {"error": "out of memory"})
        with pytest.raises(TransientError, match=r"answered 500 \(out of memory\)"):
            ask()

    @pytest.mark.parametrize("line", [["oops"], {"oops": 1}, {"message": {"content": ["oops"]}}])
    def test_is_what_is_no_answer_of_ollama(
        self, ask: Callable[..., Answer], reply: Callable[..., None], line: Any
    ) -> None:
        reply(line, LAST)
        with pytest.raises(PermanentError, match="check PROCOS_OLLAMA_URL") as raised:
            ask()
        assert "oops" not in str(raised.value)

    def test_is_an_answer_larger_than_the_limit(
        self, ask: Callable[..., Answer], reply: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ollama_module, "LARGEST_BODY", 500)
        reply(*(words("x" * 50) for _ in range(20)), LAST)
        with pytest.raises(PermanentError, match="more than 500 bytes"):
            ask()


class TestWaiting:
    def stalling(self, *lines: Any) -> tuple[Callable[[], Iterator[bytes]], threading.Event]:
        over = threading.Event()

        def pieces() -> Iterator[bytes]:
            for line in lines:
                yield json.dumps(line).encode() + b"\n"
            over.wait(10)

        return pieces, over

    def test_ends_for_a_cancelled_step(self, ask: Callable[..., Answer], provider_server: ProviderServer) -> None:
        cancelled = threading.Event()
        provider_server.pieces, over = self.stalling(words("4"))
        with pytest.raises(StepCancelled):
            ask(watch=Watch(is_cancelled=cancelled.is_set, said=lambda _: cancelled.set()))
        over.set()
