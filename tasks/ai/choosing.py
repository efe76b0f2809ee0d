"""Chooses the provider for a question: the rule of `tasks.ai.selection` over what is configured and answers now.

The topics `provider_selection` and, with provider `auto`, `ai_query` use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from tasks.ai.providers.registry import OLLAMA, OPENAI, profile_named, profiles, provider_of
from tasks.ai.selection import AUTO, NONE, Choice, choose

if TYPE_CHECKING:
    from procos.settings import Settings
    from tasks.ai.provider import Profile
    from tasks.ai.reply import Wish


def those_who_may_answer(wish: Wish, settings: Settings) -> list[Profile]:
    """Return the provider a wish names, or the policy chooses, and those of PROCOS_AI_FALLBACK, in their order.

    Raises:
        PermanentError: there is none, one of them is not configured, or none of them can do what is wished for.
    """
    first = wish.provider
    if first == AUTO:
        first = select_provider(wish.text, wish.complexity_score, settings).provider
    names = dict.fromkeys([first, *settings.ai.fallback])
    found = [profile_named(name, settings) for name in names]
    able = [profile for profile in found if profile.capabilities.tools or not wish.tools]
    if not able:
        raise PermanentError(f"none of {', '.join(names)} may be offered tools", code="NO_PROVIDER")
    return able


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
