"""The rule that chooses an AI provider, and nothing else: no settings, no network, the same answer every time.

Long or complex questions go to OpenAI where a key is configured; everything else goes to Ollama where it answers,
which costs nothing; OpenAI is the fallback. `tasks.ai.providers` supplies the facts, for the topic
`provider_selection` and for `ai_query` with provider `auto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AUTO = "auto"
OPENAI = "openai"
OLLAMA = "ollama"
NONE = "none"

LONG_QUESTION = 2000
"""Characters above which a question is long."""

COMPLEX_QUESTION = 0.8
"""Complexity score (0 to 1) above which a question is complex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A provider's name, or `none`, and the reason in words."""

    provider: str
    reason: str


def choose(
    *, question: str, complexity_score: float, openai_configured: bool, ollama_answers: Callable[[], bool]
) -> Choice:
    """Return the provider for a question; Ollama is asked whether it answers only where that decides."""
    demand = _demand(question, complexity_score)
    if demand and openai_configured:
        return Choice(provider=OPENAI, reason=f"{demand} and OpenAI is configured")
    if ollama_answers():
        return Choice(provider=OLLAMA, reason="Ollama answers" + (f"; {demand}, but no OpenAI key" if demand else ""))
    if openai_configured:
        return Choice(provider=OPENAI, reason="Ollama is not available and OpenAI is configured")
    return Choice(provider=NONE, reason="OpenAI has no key and Ollama is not available")


def _demand(question: str, complexity_score: float) -> str:
    if len(question) > LONG_QUESTION:
        return f"the question is longer than {LONG_QUESTION} characters"
    if complexity_score > COMPLEX_QUESTION:
        return f"the complexity is above {COMPLEX_QUESTION}"
    return ""
