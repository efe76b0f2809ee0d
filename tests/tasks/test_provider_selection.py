"""Topic provider_selection: the rule over settings and servers that are really asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from procos.domain.errors import PermanentError, StepCancelled
from procos.settings import load_settings
from tasks.ai.provider_selection import ProviderSelectionInput, provider_selection
from tasks.ai.providers import health
from tasks.ai.providers.registry import profile_named, profiles, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

CLOSED = "http://127.0.0.1:9"
QUESTION = ProviderSelectionInput(user_query="why?")


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    health.forget()


class TestProviderSelection:
    def test_chooses_an_ollama_that_answers(
        self, provider_server: ProviderServer, context_with: Callable[..., TaskContext]
    ) -> None:
        settings = load_settings({"PROCOS_OLLAMA_URL": provider_server.url + "/"}, dotenv=None)
        chosen = provider_selection(QUESTION, context_with(settings))
        assert (chosen.selected_provider, chosen.selection_reason) == ("ollama", "Ollama answers")
        assert (chosen.ranked_providers, chosen.scores) == (["ollama"], {"openai": 0.0, "ollama": 1.0})
        assert provider_server.paths == ["/api/tags"]

    def test_follows_a_policy_table(self, context_with: Callable[..., TaskContext], tmp_path: Path) -> None:
        row = {"up_to": {"tokens": 100}, "providers": ["openai"]}
        table = {"classes": {"small": row, "medium": row, "large": {"providers": ["ollama"]}}}
        file = tmp_path / "policy.json"
        file.write_text(json.dumps(table))
        settings = load_settings(
            {"PROCOS_OLLAMA_URL": CLOSED, "PROCOS_OPENAI_API_KEY": "key", "PROCOS_AI_POLICY": str(file)}, dotenv=None
        )
        chosen = provider_selection(QUESTION, context_with(settings))
        assert chosen.selected_provider == "openai"
        assert chosen.selection_reason == "the question is small, and openai is the first for it that can answer"
        large = ProviderSelectionInput(user_query="why? " * 200)
        with pytest.raises(PermanentError, match="no provider for it can answer; ollama does not answer") as raised:
            provider_selection(large, context_with(settings))
        assert raised.value.code == "NO_PROVIDER"

    @pytest.mark.parametrize("needs", [["json", "tools"], "json, tools", "json,tools,"])
    def test_takes_needs_as_a_list_or_as_it_is_typed(self, needs: object) -> None:
        question = ProviderSelectionInput.model_validate({"user_query": "why?", "needs": needs})
        assert question.needs == ["json", "tools"]

    @pytest.mark.parametrize("status", [302, 404, 500])
    def test_passes_over_an_ollama_that_is_not_well(
        self, provider_server: ProviderServer, context_with: Callable[..., TaskContext], status: int
    ) -> None:
        provider_server.tags_status = status
        settings = load_settings(
            {"PROCOS_OLLAMA_URL": provider_server.url, "PROCOS_OPENAI_API_KEY": "key"}, dotenv=None
        )
        assert provider_selection(QUESTION, context_with(settings)).selected_provider == "openai"

    @pytest.mark.parametrize("url", [CLOSED, "not an address", "ftp://127.0.0.1"])
    def test_passes_over_an_address_where_no_ollama_is(
        self, context_with: Callable[..., TaskContext], url: str
    ) -> None:
        settings = load_settings({"PROCOS_OLLAMA_URL": CLOSED, "PROCOS_OPENAI_API_KEY": "key"}, dotenv=None)
        settings = settings.model_copy(update={"ollama": settings.ollama.model_copy(update={"url": url})})
        assert provider_selection(QUESTION, context_with(settings)).selected_provider == "openai"

    def test_does_not_wait_for_an_ollama_once_the_step_is_cancelled(
        self, context_with: Callable[..., TaskContext]
    ) -> None:
        settings = load_settings({"PROCOS_OLLAMA_URL": CLOSED, "PROCOS_OPENAI_API_KEY": "key"}, dotenv=None)
        with pytest.raises(StepCancelled):
            provider_selection(QUESTION, context_with(settings, cancelled=lambda: True))

    def test_counts_a_compatible_server_with_a_key_as_openai(self, context_with: Callable[..., TaskContext]) -> None:
        settings = load_settings(
            {"PROCOS_OPENAI_API_KEY": "dummy", "PROCOS_OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, dotenv=None
        )
        assert provider_selection(QUESTION, context_with(settings)).selected_provider == "openai"

    @pytest.mark.parametrize(
        ("environ", "named"),
        [
            ({}, ["PROCOS_OPENAI_API_KEY", "PROCOS_OLLAMA_URL"]),
            ({"PROCOS_OLLAMA_URL": CLOSED}, ["PROCOS_OLLAMA_URL does not answer", "PROCOS_OPENAI_API_KEY"]),
        ],
    )
    def test_names_what_to_configure_where_there_is_none(
        self, context_with: Callable[..., TaskContext], environ: dict[str, str], named: list[str]
    ) -> None:
        with pytest.raises(PermanentError) as raised:
            provider_selection(QUESTION, context_with(load_settings(environ, dotenv=None)))
        assert raised.value.code == "NO_PROVIDER"
        assert all(name in str(raised.value) for name in named)

    @pytest.mark.parametrize(
        "variables",
        [{}, {"user_query": 7}, {"user_query": "x", "complexity_score": 2}, {"user_query": "x", "needs": "wings"}],
    )
    def test_refuses_input_it_cannot_judge(self, variables: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            ProviderSelectionInput.model_validate(variables)


class TestProviderNamed:
    def test_lists_the_known_ones_for_an_unknown_name(self) -> None:
        with pytest.raises(PermanentError, match="unknown AI provider 'gpt'; known: openai, ollama"):
            provider_of(profile_named("gpt", load_settings({}, dotenv=None)))

    def test_lists_the_configured_ones_for_one_that_is_not(self) -> None:
        settings = load_settings({"PROCOS_OPENAI_API_KEY": "key"}, dotenv=None)
        with pytest.raises(PermanentError, match="set PROCOS_OLLAMA_URL; configured: openai"):
            provider_of(profile_named("ollama", settings))

    def test_knows_those_that_users_name(self) -> None:
        settings = load_settings(
            {"PROCOS_PROVIDERS__MISTRAL__URL": "https://api.example.org/v1/", "PROCOS_PROVIDERS__MISTRAL__MODEL": "m"},
            dotenv=None,
        )
        assert list(profiles(settings)) == ["mistral"]
        assert profile_named("mistral", settings).address_setting == "PROCOS_PROVIDERS__MISTRAL__URL"
        with pytest.raises(PermanentError, match=r"known: openai, ollama, mistral; .*did you mean mistral\?"):
            provider_of(profile_named("mistrl", settings))

    def test_names_the_kinds_it_knows(self) -> None:
        settings = load_settings(
            {
                "PROCOS_PROVIDERS__X__URL": "https://x",
                "PROCOS_PROVIDERS__X__MODEL": "m",
                "PROCOS_PROVIDERS__X__KIND": "telepathy",
            },
            dotenv=None,
        )
        with pytest.raises(PermanentError, match="of kind 'telepathy'; known: ollama, openai"):
            provider_of(profile_named("x", settings))

    def test_shows_neither_key_nor_password(self) -> None:
        settings = load_settings(
            {"PROCOS_OPENAI_API_KEY": "sk-1", "PROCOS_OPENAI_BASE_URL": "https://me:pw@proxy:8443/v1"}, dotenv=None
        )
        profile = profile_named("openai", settings)
        assert "sk-1" not in repr(profile)
        assert profile.address == "https://proxy:8443/v1"
