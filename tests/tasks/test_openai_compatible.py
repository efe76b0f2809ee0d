"""Chat completions beyond a plain question: schemas, tools, what servers decline, and answers that stall."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import PermanentError, RateLimited, TransientError
from procos.settings import load_settings
from tasks.ai.conversation import Answer, FinishReason, Message, Question, Role, Tool, ToolCall
from tasks.ai.provider import Watch
from tasks.ai.providers import health
from tasks.ai.providers.chat_request import written
from tasks.ai.providers.patience import Patience
from tasks.ai.providers.registry import profile_named, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tasks.conftest import ProviderServer

CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
ADD = Tool(name="add", description="adds", parameters=OPEN)


def question(*messages: Message, **more: Any) -> Question:
    said = messages or (Message(role=Role.USER, content="six times seven?"),)
    return Question(messages=said, model="model", max_tokens=50, temperature=0.5, **more)


def chunk(content: Any = None, *, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish_reason}]}


@pytest.fixture
def ask(provider_server: ProviderServer) -> Callable[..., Answer]:
    def ask(asked: Question | None = None, watch: Watch | None = None, **environ: str) -> Answer:
        given = {"PROCOS_OPENAI_API_KEY": "key", "PROCOS_OPENAI_BASE_URL": f"{provider_server.url}/v1", **environ}
        provider = provider_of(profile_named("openai", load_settings(given, dotenv=None)))
        return provider.complete(asked or question(), within=timedelta(seconds=10), watch=watch or Watch())

    return ask


class TestRequest:
    def test_limits_openais_own_models_by_the_name_they_know(self) -> None:
        profile = profile_named("openai", load_settings({"PROCOS_OPENAI_API_KEY": "key"}, dotenv=None))
        request = written(question(), profile, parts=())
        assert request["max_completion_tokens"] == 50
        assert "max_tokens" not in request

    def test_asks_for_counts_only_of_a_stream(self) -> None:
        profile = profile_named("openai", load_settings({"PROCOS_OPENAI_API_KEY": "key"}, dotenv=None))
        assert "stream_options" not in written(question(), profile, parts=("stream_options",))

    def test_sends_schemas_as_strictly_as_they_are(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        ask(question(json_schema=CLOSED))
        ask(question(json_schema=OPEN))
        assert [body["response_format"] for _, _, body in provider_server.requests] == [
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": CLOSED, "strict": True}},
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": OPEN, "strict": False}},
        ]

    def test_keeps_the_schema_from_a_server_that_takes_none(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        ask(question(json_schema=CLOSED), PROCOS_OPENAI_JSON_SCHEMA="false")
        assert "response_format" not in provider_server.requests[0][2]

    def test_offers_tools_and_tells_what_they_said(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        call = ToolCall(id="c1", name="add", arguments="{}")
        ask(
            question(
                Message(role=Role.ASSISTANT, content="", tool_calls=(call,)),
                Message(role=Role.TOOL, content="2", tool_call_id="c1"),
                tools=(ADD,),
                stop=("\n",),
            )
        )
        sent = provider_server.requests[0][2]
        function = {"name": "add", "description": "adds", "parameters": OPEN}
        assert sent["tools"] == [{"type": "function", "function": function}]
        assert sent["stop"] == ["\n"]
        assert sent["messages"] == [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ]


class TestToolCalls:
    WANTED = ({"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},)

    def test_are_handed_on(self, ask: Callable[..., Answer], provider_server: ProviderServer) -> None:
        provider_server.say(None, finish_reason="tool_calls", tool_calls=self.WANTED)
        answer = ask()
        assert answer.tool_calls == (ToolCall(id="c1", name="add", arguments='{"a": 1}'),)
        assert (answer.text, answer.finish_reason) == ("", FinishReason.TOOL_CALLS)

    def test_are_put_together_from_a_stream(self, ask: Callable[..., Answer], provider_server: ProviderServer) -> None:
        provider_server.stream(
            chunk(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
            chunk(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "sub"}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
            chunk(finish_reason="tool_calls"),
            "[DONE]",
        )
        assert ask().tool_calls == (
            ToolCall(id="c1", name="add", arguments='{"a": 1}'),
            ToolCall(id="c2", name="sub", arguments="{}"),
        )

    @pytest.mark.parametrize("part", ["odd", {"index": 0}, {"index": 999, "function": {}}, {"index": "0"}])
    def test_that_are_none_are_no_answer(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, part: Any
    ) -> None:
        provider_server.stream(chunk(tool_calls=[part]), chunk(finish_reason="stop"))
        with pytest.raises(PermanentError, match="a tool call is none"):
            ask()


class TestServerThatDeclines:
    NO_TEMPERATURE = "Unsupported value: 'temperature' does not support 0.5 with this model."

    @pytest.mark.parametrize(
        "said",
        [
            NO_TEMPERATURE + " Only the default (1) value is supported.",
            "invalid temperature: only 0.6 is allowed for this model",
            "`temperature` is deprecated for this model.",
            "Unknown parameter: 'temperature'.",
            "Extra inputs are not permitted, field: 'temperature'",
        ],
    )
    def test_temperature_is_asked_without_it(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, said: str
    ) -> None:
        provider_server.declines = lambda body: said if "temperature" in body else None
        assert ask().text == "42"
        assert ["temperature" in sent for _, _, sent in provider_server.requests] == [True, False]
        assert all(sent["stream"] for _, _, sent in provider_server.requests)

    def test_says_so_to_the_watch_before_it_is_asked_again(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        provider_server.declines = lambda body: self.NO_TEMPERATURE if "temperature" in body else None
        known: list[str] = []

        def declines(part: str) -> None:
            assert len(provider_server.requests) == 1
            known.append(part)

        watch = Watch(declined=lambda: known, declines=declines)
        assert (ask(watch=watch).text, ask(watch=watch).text) == ("42", "42")
        assert known == ["temperature"]
        assert ["temperature" in sent for _, _, sent in provider_server.requests] == [True, False, False]

    def test_is_not_asked_again_where_the_watch_has_no_room(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        provider_server.declines = lambda body: self.NO_TEMPERATURE if "temperature" in body else None

        def declines(part: str) -> None:
            raise RateLimited(part, retry_in=timedelta(seconds=60))

        with pytest.raises(RateLimited, match="temperature"):
            ask(watch=Watch(declines=declines))
        assert len(provider_server.requests) == 1

    @pytest.mark.parametrize(
        "said",
        [
            "temperature: Input should be less than or equal to 1",
            "temperature: range: 0..1",
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3.0 instead.",
            "temperature 1.5 is not supported, use one of [0, 1]",
            "The temperature parameter is illegal",
        ],
    )
    def test_the_value_of_a_temperature_has_refused_the_question(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, said: str
    ) -> None:
        provider_server.declines = lambda body: said if "temperature" in body else None
        with pytest.raises(PermanentError, match="answered 400") as raised:
            ask()
        assert raised.value.code == "REQUEST_REFUSED"
        assert len(provider_server.requests) == 1

    def test_something_else_may_quote_any_words_of_the_question(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        quoted = {"messages": "Is streaming unsupported, and temperature?", "stream": True, "temperature": 0.5}
        problem = {"type": "missing", "loc": ["body", "user"], "msg": "Field required", "input": quoted}
        provider_server.reply({"detail": [problem]}, status=422)
        with pytest.raises(PermanentError, match="answered 422"):
            ask()
        assert len(provider_server.requests) == 1

    @pytest.mark.parametrize(
        ("asked", "word", "setting"),
        [
            (question(json_schema=CLOSED), "response_format", "PROCOS_OPENAI_JSON_SCHEMA=false"),
            (question(tools=(ADD,)), "tools", "PROCOS_OPENAI_TOOLS=false"),
        ],
    )
    def test_what_the_step_needs_names_the_setting(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, asked: Question, word: str, setting: str
    ) -> None:
        provider_server.declines = lambda _: f"{word} is not supported"
        with pytest.raises(PermanentError, match=setting):
            ask(asked)


class TestAnswerThatStalls:
    @pytest.mark.parametrize(
        ("events", "said"),
        [
            ([], "sent nothing of its answer for 0.3 s"),
            ([chunk("4")], "stopped in mid-answer for 0.3 s"),
            ([chunk("4"), chunk("2")], "stopped in mid-answer for 0.3 s"),
        ],
    )
    def test_ends_early_however_warm_the_connection_is_kept(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, events: list[Any], said: str
    ) -> None:
        over = threading.Event()
        provider_server.stream(*events)
        (beginning,) = provider_server.pieces()

        def pieces() -> Iterator[bytes]:
            yield beginning
            while not over.wait(0.05):
                yield b": still here\n\n"

        provider_server.pieces = pieces
        limits = {"PROCOS_OPENAI_FIRST_TOKEN_TIMEOUT": "0.3", "PROCOS_OPENAI_TOKEN_TIMEOUT": "0.3"}
        with pytest.raises(TransientError, match=said) as raised:
            ask(**limits)
        over.set()
        assert raised.value.code == "PROVIDER_STALLED"

    def test_is_not_one_that_comes_as_a_whole(
        self, ask: Callable[..., Answer], provider_server: ProviderServer
    ) -> None:
        provider_server.declines = lambda body: "cannot stream" if body.get("stream") else None
        watch = Watch(declined=lambda: ["stream"])
        assert ask(watch=watch, PROCOS_OPENAI_FIRST_TOKEN_TIMEOUT="0.000001").text == "42"

    def test_is_not_one_that_had_to_wait_for_room(self) -> None:
        environ = {"PROCOS_OPENAI_API_KEY": "key", "PROCOS_OPENAI_TIMEOUT": "600"}
        profile = profile_named("openai", load_settings(environ, dotenv=None))
        now, first_token = [0.0], profile.first_token_timeout.total_seconds()
        patience = Patience(profile, Watch(), within=timedelta(days=1), clock=lambda: now[0])
        now[0] = first_token - 0.1
        patience.asks_again()
        now[0] += 1
        patience.check()
        now[0] += first_token
        with pytest.raises(TransientError, match="sent nothing of its answer"):
            patience.check()


class TestWatch:
    def test_hears_each_piece(self, ask: Callable[..., Answer], provider_server: ProviderServer) -> None:
        heard: list[str] = []
        provider_server.stream(chunk("4"), chunk("2"), chunk(finish_reason="stop"))
        assert ask(watch=Watch(said=heard.append)).text == "42"
        assert heard == ["4", "2"]

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_hears_that_a_model_reasons_and_not_what(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, field: str
    ) -> None:
        """Else it would seem to stall: models reason for minutes before the first word of their answer."""
        heard: list[str] = []
        reasoning = chunk(**{field: "six by "}), chunk(**{field: "seven"})
        provider_server.stream(*reasoning, chunk("42"), chunk(finish_reason="stop"))
        assert ask(watch=Watch(said=heard.append)).text == "42"
        assert heard == ["", "", "42"]

    @pytest.mark.parametrize("odd", ["", None, 3, {"text": "six"}])
    def test_hears_no_reasoning_that_says_nothing(
        self, ask: Callable[..., Answer], provider_server: ProviderServer, odd: Any
    ) -> None:
        heard: list[str] = []
        provider_server.stream(chunk(reasoning=odd), chunk("42"), chunk(finish_reason="stop"))
        ask(watch=Watch(said=heard.append))
        assert heard == ["42"]


class TestHealth:
    @pytest.mark.parametrize(("status", "said"), [(200, ""), (404, ""), (401, ""), (405, ""), (500, "answered 500")])
    def test_is_asked_of_the_list_of_models(self, provider_server: ProviderServer, status: int, said: str) -> None:
        health.forget()
        provider_server.tags_status = status
        environ = {"PROCOS_OPENAI_API_KEY": "key", "PROCOS_OPENAI_BASE_URL": f"{provider_server.url}/v1"}
        provider = provider_of(profile_named("openai", load_settings(environ, dotenv=None)))
        first, second = provider.health(), provider.health()
        assert first == second
        assert said in first
        assert bool(first) is bool(said)
        assert provider_server.paths == ["/v1/models"]
