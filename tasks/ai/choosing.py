"""Chooses the provider for a question: the rule of `tasks.ai.selection` over what is configured and answers now.

The topics `provider_selection` and, with provider `auto`, `ai_query` use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from tasks.ai.providers.registry import OLLAMA, OPENAI, profiles, provider_of
from tasks.ai.selection import NONE, Choice, choose

if TYPE_CHECKING:
    from procos.settings import Settings


def select_provider(question: str, complexity_score: float, settings: Settings) -> Choice:
    """Apply the rule to what is configured and answers now.

    Raises:
        PermanentError: no provider is configured, or the only one configured is an Ollama that does not answer.
    """
    configured = profiles(settings)
    ollama = configured.get(OLLAMA)
    choice = choose(
        question=question,
        complexity_score=complexity_score,
        openai_configured=OPENAI in configured,
        ollama_answers=lambda: ollama is not None and not provider_of(ollama).health(),
    )
    if choice.provider == NONE:
        raise PermanentError(_no_provider(settings), code="NO_PROVIDER")
    return choice


def _no_provider(settings: Settings) -> str:
    if settings.ollama.url is None:
        return "no AI provider is configured: set PROCOS_OPENAI_API_KEY, or PROCOS_OLLAMA_URL"
    return (
        "no AI provider is available: the Ollama server of PROCOS_OLLAMA_URL does not answer /api/tags,"
        " and PROCOS_OPENAI_API_KEY is not set"
    )
