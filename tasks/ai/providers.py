"""The AI providers the settings describe, and the choice between them.

A provider here is an address, a key, a default model and a limit of time; all of them speak the OpenAI chat dialect
(Ollama under its `/v1`). `tasks.ai.chat` talks to one. A provider counts as configured when its key (OpenAI and
servers compatible with it) or its address (Ollama) is set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from procos.domain.errors import PermanentError
from tasks.ai import ollama
from tasks.ai.policy import policy_from
from tasks.ai.question_features import features_of
from tasks.ai.selection import NONE, OLLAMA, OPENAI, Candidate, Choice, select

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from procos.settings import Settings

TO_CONFIGURE = {OPENAI: "PROCOS_OPENAI_API_KEY", OLLAMA: "PROCOS_OLLAMA_URL"}
"""The setting that makes each known provider a configured one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where a provider is and how to ask it; the `…_setting` fields name what an operator would change."""

    name: str
    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout: timedelta
    address_setting: str
    key_setting: str
    model_setting: str

    @property
    def address(self) -> str:
        """The address for people: without the user and password one may carry."""
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def provider_named(name: str, settings: Settings) -> Provider:
    """Return a configured provider.

    Raises:
        PermanentError: the provider is unknown, or known and not configured.
    """
    known = _providers()
    if name not in known:
        raise PermanentError(f"unknown AI provider {name!r}; known: {', '.join(known)}", code="UNKNOWN_PROVIDER")
    provider = known[name](settings)
    if provider is None:
        others = ", ".join(other for other, build in known.items() if build(settings)) or NONE
        raise PermanentError(
            f"AI provider {name!r} is not configured: set {TO_CONFIGURE[name]}; configured: {others}",
            code="PROVIDER_NOT_CONFIGURED",
        )
    return provider


def select_provider(
    question: str, complexity_score: float, settings: Settings, *, needs: Collection[str] = ()
) -> Choice:
    """Apply the rule of `tasks.ai.selection`, or the policy table, to what is configured and answers now.

    Raises:
        PermanentError: no provider can be asked, or the policy table is wrong.
    """
    policy = policy_from(settings.ai.policy, known=_providers()) if settings.ai.policy else None
    features = features_of(
        question, complexity=complexity_score, needs_json="json" in needs, needs_tools="tools" in needs
    )
    choice = select(features, _candidates(settings), policy)
    if choice.provider == NONE:
        raise PermanentError(choice.reason if policy else _no_provider(settings), code="NO_PROVIDER")
    return choice


def _candidates(settings: Settings) -> list[Candidate]:
    return [
        Candidate(name=OPENAI, is_configured=_openai(settings) is not None),
        Candidate(
            name=OLLAMA,
            is_configured=_ollama(settings) is not None,
            is_local=True,
            answers=lambda: ollama.answers(settings.ollama),
        ),
    ]


def _no_provider(settings: Settings) -> str:
    if settings.ollama.url is None:
        return "no AI provider is configured: set PROCOS_OPENAI_API_KEY, or PROCOS_OLLAMA_URL"
    return (
        "no AI provider is available: the Ollama server of PROCOS_OLLAMA_URL does not answer /api/tags,"
        " and PROCOS_OPENAI_API_KEY is not set"
    )


def _providers() -> Mapping[str, Callable[[Settings], Provider | None]]:
    return {OPENAI: _openai, OLLAMA: _ollama}


def _openai(settings: Settings) -> Provider | None:
    if settings.openai.api_key is None:
        return None
    return Provider(
        name=OPENAI,
        base_url=settings.openai.base_url.rstrip("/"),
        api_key=settings.openai.api_key.get_secret_value(),
        model=settings.openai.model,
        timeout=timedelta(seconds=settings.openai.timeout),
        address_setting="PROCOS_OPENAI_BASE_URL",
        key_setting="PROCOS_OPENAI_API_KEY",
        model_setting="PROCOS_OPENAI_MODEL",
    )


def _ollama(settings: Settings) -> Provider | None:
    if settings.ollama.url is None:
        return None
    return Provider(
        name=OLLAMA,
        base_url=settings.ollama.url.rstrip("/") + "/v1",
        api_key="ollama",  # Ollama checks no key, the OpenAI client insists on one
        model=settings.ollama.model,
        timeout=timedelta(seconds=settings.ollama.timeout),
        address_setting="PROCOS_OLLAMA_URL",
        key_setting="PROCOS_OLLAMA_URL",
        model_setting="PROCOS_OLLAMA_MODEL",
    )
