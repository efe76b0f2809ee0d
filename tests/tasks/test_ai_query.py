"""Topic ai_query against a server that speaks the chat dialect: what is sent, and what comes of the answers."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, TransientError
from procos.settings import load_settings
from tasks.ai.ai_query import AiQueryInput, AiQueryOutput, ai_query
from tasks.ai.providers import openai_compatible as chat_module
from tasks.ai.providers.registry import profile_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.settings import Settings
    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

QUESTION = "What is six times seven?"


@pytest.fixture
def ask(openai_settings: Settings, context_with: Callable[..., TaskContext]) -> Callable[..., AiQueryOutput]:
    def ask(*, seconds: float = 60.0, **variables: Any) -> AiQueryOutput:
        query = AiQueryInput.model_validate({"user_query": QUESTION, "provider": "openai"} | variables)
        return ai_query(query, context_with(openai_settings, seconds=seconds))

    return ask


class TestAiQuery:
    def test_hands_on_the_answer_and_how_it_came_about(self, ask: Callable[..., AiQueryOutput]) -> None:
        output = ask().model_dump()
        (attempt,) = output.pop("attempts")
        assert 0 <= attempt.pop("response_time_ms") <= output.pop("response_time_ms") < 5000
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        assert attempt == {
            "provider": "openai", "model": "model-0613", "outcome": "answered", "usage": usage, "cost": 0.0,
            "price_source": "free",
        }  # fmt: skip
        assert output == {
            "ai_response": "42",
            "model_used": "model-0613",
            "provider": "openai",
            "selected_provider": "openai",
            "usage": usage,
            "cost": 0.0,
            "finish_reason": "stop",
            "untrusted": True,
            "cleaned": False,
        }

    def test_sends_the_question_with_its_limits(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        ask(max_tokens=9, temperature=0, model="other")
        assert [sent for _, _, sent in provider_server.requests] == [
            {
                "model": "other",
                "messages": [{"role": "user", "content": QUESTION}],
                "max_tokens": 9,
                "temperature": 0.0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ]

    def test_falls_back_on_defaults(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        ask()
        _, _, sent = provider_server.requests[0]
        assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("model", 1000, 0.7)

    def test_sends_key_and_idempotency_key(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        ask()
        headers = {name.lower(): value for name, value in provider_server.requests[0][1].items()}
        assert headers["authorization"] == f"Bearer {provider_server.key}"
        assert headers["idempotency-key"] == "task-1"

    def test_resolves_auto_by_the_rule(
        self, provider_server: ProviderServer, context_with: Callable[..., TaskContext]
    ) -> None:
        settings = load_settings({"PROCOS_OLLAMA_URL": provider_server.url}, dotenv=None)
        provider_server.reply({"model": "llama", "message": {"content": "42"}, "done": True, "done_reason": "stop"})
        output = ai_query(AiQueryInput(user_query=QUESTION), context_with(settings))
        assert (output.provider, output.selected_provider) == ("ollama", "ollama")
        assert provider_server.paths == ["/api/tags", "/api/chat"]

    def test_goes_through_no_proxy(
        self,
        ask: Callable[..., AiQueryOutput],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setattr(chat_module, "_clients", {})
        assert ask().ai_response == "42"

    def test_shares_one_client_among_threads(self, openai_settings: Settings) -> None:
        profile = profile_named("openai", openai_settings)
        clients: list[object] = []
        threads = [threading.Thread(target=lambda: clients.append(chat_module.client_of(profile))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(clients) == 8
        assert len(set(map(id, clients))) == 1

    def test_logs_neither_question_nor_answer_nor_key(
        self,
        ask: Callable[..., AiQueryOutput],
        provider_server: ProviderServer,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        ask()
        logged = caplog.text + "".join(capfd.readouterr())
        assert "ai.answered" in logged
        assert not any(secret in logged for secret in (QUESTION, provider_server.key, "'42'", '"42"'))

    def test_asks_nothing_where_no_time_is_left(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        with pytest.raises(TransientError, match="no time is left"):
            ask(seconds=0)
        assert provider_server.requests == []

    @pytest.mark.parametrize("name", ["gpt", "ollama"])
    def test_names_a_provider_that_is_not_there(self, ask: Callable[..., AiQueryOutput], name: str) -> None:
        with pytest.raises(PermanentError, match=name):
            ask(provider=name)


class TestAiQueryInput:
    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {"user_query": "  \n"},
            {"user_query": 7},
            {"user_query": "a\0"},
            {"user_query": "\ud800"},
            {"user_query": "x", "max_tokens": 0},
            {"user_query": "x", "max_tokens": "many"},
            {"user_query": "x", "temperature": 3},
            {"user_query": "x", "model": ""},
            {"user_query": "x", "provider": 1},
        ],
    )
    def test_refuses_what_cannot_be_asked(self, variables: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            AiQueryInput.model_validate(variables)


class TestAnswer:
    def test_is_fit_to_be_stored(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.say("a\0b\x1b[31m\ud83d\r\n\tc é 🎉")
        assert ask().ai_response == "ab[31m\n\tc é 🎉"

    def test_may_be_cut_short(self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer) -> None:
        provider_server.say("42 is", finish_reason="length")
        assert ask().finish_reason == "length"

    def test_may_come_with_blanks_before_it(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.reply(b"\n\n" + b"".join(provider_server.pieces()))
        assert ask().ai_response == "42"

    def test_may_come_without_usage_and_model(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.reply({"choices": [{"message": {"content": "42"}}]})
        output = ask()
        assert (output.usage, output.model_used, output.finish_reason) == ({}, "model", "unknown")

    def test_keeps_the_counts_of_cached_and_reasoning_tokens(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        details = {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}}
        provider_server.say(usage=details | {"cost": "free"})
        counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        assert ask().usage == counts | {"cached_tokens": 2, "reasoning_tokens": 1}

    def test_refused_is_a_bpmn_error_with_the_models_words(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.say(None, refusal="I won't.")
        with pytest.raises(BusinessError) as raised:
            ask()
        assert (raised.value.code, raised.value.variables) == ("REFUSED", {"refusal": "I won't."})

    @pytest.mark.parametrize("content", [None, "", " \n", "\0\x01 \ud800"])
    def test_empty_for_no_reason_is_worth_another_try(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, content: str | None
    ) -> None:
        provider_server.say(content)
        with pytest.raises(TransientError, match="empty"):
            ask()

    @pytest.mark.parametrize(
        ("body", "flaw"),
        [
            (b"<html>Welcome</html>", "not JSON"),
            (b"", "not JSON"),
            (b"\xff\xfe\xfd", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            ([], "Input should be"),
            ({}, "choices: Field required"),
            ({"error": {"message": "oops"}}, "choices: Field required"),
            ({"choices": []}, "choices"),
            ({"choices": [{"message": {"content": ["42"]}}]}, "choices.0.message.content"),
        ],
    )
    def test_that_is_none_names_the_setting_and_quotes_nothing(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer, body: object, flaw: str
    ) -> None:
        provider_server.reply(body)
        with pytest.raises(PermanentError) as raised:
            ask()
        message = str(raised.value)
        assert raised.value.code == "BAD_ANSWER"
        assert flaw in message
        assert "check PROCOS_OPENAI_BASE_URL" in message
        assert "oops" not in message
        assert "Welcome" not in message

    def test_larger_than_the_limit_is_not_read_on(
        self,
        ask: Callable[..., AiQueryOutput],
        provider_server: ProviderServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(chat_module, "LARGEST_BODY", 1000)
        provider_server.say("x" * 2000)
        with pytest.raises(PermanentError, match="more than 1000 bytes"):
            ask()

    def test_that_trickles_ends_at_the_deadline(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        over = threading.Event()

        def blanks() -> Iterator[bytes]:
            while not over.wait(0.05):
                yield b" "

        provider_server.pieces = blanks
        with pytest.raises(TransientError, match="did not finish its answer in time"):
            ask(seconds=0.3)
        over.set()

    def test_that_does_not_begin_ends_at_the_deadline(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        over = threading.Event()

        def nothing() -> Iterator[bytes]:
            over.wait(5)
            yield b""

        provider_server.pieces = nothing
        with pytest.raises(TransientError, match="did not finish its answer in time"):
            ask(seconds=0.2)
        over.set()

    def test_that_breaks_off_is_worth_another_try(
        self, ask: Callable[..., AiQueryOutput], provider_server: ProviderServer
    ) -> None:
        provider_server.reply(b'{"choices"', headers={"content-length": "500"})
        with pytest.raises(TransientError, match="broke off its answer: RemoteProtocolError"):
            ask()
