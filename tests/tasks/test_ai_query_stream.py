"""Answers that come in events: they read as whole ones do, and a cancelled step does not wait for them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TransientError
from tasks.ai.ai_query import AiQueryInput, AiQueryOutput, ai_query
from tasks.ai.providers import openai_compatible as chat_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.settings import Settings
    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
QUERY = AiQueryInput(user_query="Why?", provider="openai")


def chunk(content: Any = None, *, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content, **more}, "finish_reason": finish_reason}
    return {"model": "model-0613", "choices": [choice], "usage": None}


@pytest.fixture
def cancelled() -> threading.Event:
    return threading.Event()


@pytest.fixture
def ask(
    openai_settings: Settings, context_with: Callable[..., TaskContext], cancelled: threading.Event
) -> Callable[..., AiQueryOutput]:
    def ask(*, seconds: float = 20.0) -> AiQueryOutput:
        return ai_query(QUERY, context_with(openai_settings, seconds=seconds, cancelled=cancelled.is_set))

    return ask


class TestStreamedAnswer:
    def test_reads_as_a_whole_one(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.stream(
            {"choices": [], "prompt_filter_results": []},
            chunk(role="assistant", content=""),
            chunk("4"),
            chunk("2"),
            chunk(finish_reason="stop"),
            {"model": "model-0613", "choices": [], "usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 1}}},
            "[DONE]",
        )
        output = ask()
        assert (output.ai_response, output.finish_reason, output.model_used) == ("42", "stop", "model-0613")
        assert output.usage == USAGE | {"cached_tokens": 1}

    def test_may_come_in_pieces_of_any_size(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.stream(chunk("zwölf 🎉"), chunk(finish_reason="stop"), "[DONE]")
        (body,) = provider_server.pieces()
        lines = b": warm\r\n\r\nevent: message\r\n" + body.replace(b"\n", b"\r\n")
        provider_server.pieces = lambda: (lines[i : i + 7] for i in range(0, len(lines), 7))
        assert ask().ai_response == "zwölf 🎉"

    @pytest.mark.parametrize("end", [chunk(finish_reason="stop"), "[DONE]"])
    def test_needs_but_one_sign_of_its_end(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, end: Any
    ) -> None:
        provider_server.stream(chunk("42"), end)
        assert ask().ai_response == "42"

    def test_without_its_end_is_worth_another_try(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.stream(chunk("4"))
        with pytest.raises(TransientError, match="broke off its answer"):
            ask()

    def test_that_is_whole_needs_no_orderly_end(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.stream(chunk("42"), chunk(finish_reason="stop"))
        provider_server.headers = {**provider_server.headers, "content-length": "100000"}
        assert ask().ai_response == "42"

    @pytest.mark.parametrize(
        "odd",
        [
            {"usage": {"prompt_tokens_details": [1], "model": 3, "provider": 4}},
            {"choices": 3},
            {"choices": [{"index": 0, "delta": {"tool_calls": 3}}]},
        ],
    )
    def test_is_not_lost_over_odd_fields(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, odd: dict[str, Any]
    ) -> None:
        provider_server.stream(chunk("42"), chunk(finish_reason="stop"), odd, "[DONE]")
        assert ask().ai_response == "42"

    def test_keeps_to_the_first_choice(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        other = {"choices": [{"index": 1, "delta": {"content": "43"}}, "odd"]}
        provider_server.stream(chunk("42"), other, chunk(finish_reason="stop"))
        assert ask().ai_response == "42"

    @pytest.mark.parametrize(
        ("events", "code"),
        [
            ([chunk("half"), chunk(finish_reason="content_filter")], "CONTENT_FILTERED"),
            ([chunk(refusal="I "), chunk(refusal="won't."), chunk(finish_reason="stop")], "REFUSED"),
            ([{"error": {"code": 400, "type": "exceed_context_size_error", "message": "long"}}], "CONTEXT_TOO_LONG"),
            ([chunk("half"), {"error": {"code": "content_filter", "message": "no"}}], "CONTENT_FILTERED"),
        ],
    )
    def test_is_a_bpmn_error_for_what_a_model_can_catch(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, events: list[Any], code: str
    ) -> None:
        provider_server.stream(*events)
        with pytest.raises(BusinessError) as raised:
            ask()
        assert raised.value.code == code
        assert raised.value.variables in ({}, {"refusal": "I won't."})

    @pytest.mark.parametrize(
        ("error", "said"), [({"message": "overloaded"}, "answered 500"), ("overloaded", "500"), ({"code": 503}, "503")]
    )
    def test_that_ends_in_trouble_is_worth_another_try(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, error: Any, said: str
    ) -> None:
        provider_server.stream(chunk("half"), {"error": error})
        with pytest.raises(TransientError, match=said):
            ask()

    @pytest.mark.parametrize(
        ("event", "flaw"),
        [
            ("oops{", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[1]", "not an object"),
            (chunk(["oops"]), "content is not a text"),
        ],
    )
    def test_that_is_none_names_the_setting_and_quotes_nothing(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, event: Any, flaw: str
    ) -> None:
        provider_server.stream(chunk("4"), event)
        with pytest.raises(PermanentError, match=flaw) as raised:
            ask()
        assert (raised.value.code, "oops" in str(raised.value)) == ("BAD_ANSWER", False)
        assert "PROCOS_OPENAI_BASE_URL" in str(raised.value)

    @pytest.mark.parametrize("event", [chunk("x" * 2000), "x" * 2000])
    def test_larger_than_the_limit_is_not_read_on(
        self,
        ask: Callable[..., AiQueryOutput],
        provider_server: ProviderServer,
        monkeypatch: pytest.MonkeyPatch,
        event: Any,
    ) -> None:
        monkeypatch.setattr(chat_module, "LARGEST_BODY", 1000)
        provider_server.stream(event, "[DONE]")
        (body,) = provider_server.pieces()
        provider_server.pieces = lambda: [body.rstrip(b"\n")] if isinstance(event, str) else [body]
        with pytest.raises(PermanentError, match=r"more than 1000 bytes|not JSON"):
            ask()


class TestServerThatDeclines:
    def test_is_asked_without_counts(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.declines = lambda body: (
            "unknown field stream_options" if "stream_options" in body else None
        )  # fmt: skip
        provider_server.stream(chunk("42"), chunk(finish_reason="stop"))
        assert (ask().ai_response, ask().ai_response) == ("42", "42")
        assert [sent.get("stream_options") is not None for _, _, sent in provider_server.requests] == [
            True, False, False,
        ]  # fmt: skip

    def test_is_asked_for_the_whole(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.declines = lambda body: "this model cannot stream" if body.get("stream") else None
        assert ask().ai_response == "42"
        assert [sent.get("stream") for _, _, sent in provider_server.requests] == [True, True, None]

    def test_is_not_asked_for_ever(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.declines = lambda _: "unsupported: streams, ever"
        with pytest.raises(PermanentError, match="answered 400"):
            ask()
        assert len(provider_server.requests) == 3


class TestCancelledStep:
    def test_does_not_wait_for_the_next_words(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, cancelled: threading.Event
    ) -> None:
        over = threading.Event()
        provider_server.stream(chunk("4"))
        (beginning,) = provider_server.pieces()

        def words() -> Iterator[bytes]:
            yield beginning
            cancelled.set()
            over.wait(10)

        provider_server.pieces = words
        self.stops(ask)
        over.set()

    def test_does_not_wait_for_the_first_word(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, cancelled: threading.Event
    ) -> None:
        over = threading.Event()

        def think(_: object) -> None:
            cancelled.set()
            over.wait(10)

        provider_server.declines = think
        self.stops(ask)
        over.set()

    def test_asks_nothing(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, cancelled: threading.Event
    ) -> None:
        cancelled.set()
        self.stops(ask)
        assert provider_server.requests == []

    @staticmethod
    def stops(ask: Callable[..., AiQueryOutput]) -> None:
        began = time.monotonic()
        with pytest.raises(StepCancelled):
            ask()
        assert time.monotonic() - began < 2
