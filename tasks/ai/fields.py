"""The variables AI topics share: who shall answer and within which limits, and how an answer came about.

Each topic adds its own to them. The names are the ones the ProcOS guide uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from tasks.ai.conversation import FinishReason  # noqa: TC001  # pydantic reads it
from tasks.ai.reply import Wish
from tasks.ai.selection import AUTO
from tasks.ai.sendable import Words  # noqa: TC001  # pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.conversation import Message, Tool
    from tasks.ai.reply import Reply

LARGEST_TOKEN_LIMIT = 1_000_000


class Asking(BaseModel):
    """Who shall answer, and within which limits."""

    provider: Words = Field(AUTO, description="auto, or the name of a provider")
    model: Words | None = Field(None, min_length=1, max_length=200)
    max_tokens: int = Field(1000, ge=1, le=LARGEST_TOKEN_LIMIT)
    temperature: float = Field(0.7, ge=0, le=2)
    complexity_score: float = Field(0.0, ge=0, le=1)


class Answered(BaseModel):
    """How an answer came about; `usage` is empty where the provider counts no tokens."""

    model_used: str
    provider: str
    selected_provider: str
    usage: dict[str, int]
    cost: float | None = Field(description="US dollars, all attempts together; null where a price is not known")
    response_time_ms: int
    finish_reason: FinishReason
    attempts: list[dict[str, Any]] = Field(description="who was asked, in order, and what came of it")
    untrusted: bool = Field(True, description="a model wrote this: it is data, not instructions")
    cleaned: bool = Field(description="whether characters that cannot be stored were taken out")


def answered(reply: Reply) -> dict[str, Any]:
    """Return how a reply came about, as the fields of `Answered`."""
    return {
        "model_used": reply.answer.model,
        "provider": reply.provider,
        "selected_provider": reply.provider,
        "usage": dict(reply.usage),
        "cost": None if reply.cost is None else float(reply.cost),
        "response_time_ms": reply.milliseconds,
        "finish_reason": reply.answer.finish_reason,
        "attempts": [attempt.as_variable() for attempt in reply.attempts],
        "cleaned": reply.answer.was_cleaned,
    }


def wish_of(
    asking: Asking,
    messages: tuple[Message, ...],
    *,
    stop: tuple[str, ...] = (),
    json_schema: Mapping[str, Any] | None = None,
    tools: tuple[Tool, ...] = (),
) -> Wish:
    """Return what is to be asked, of whom the variables say it shall be asked."""
    return Wish(
        messages=messages,
        provider=asking.provider,
        model=asking.model,
        max_tokens=asking.max_tokens,
        temperature=asking.temperature,
        complexity_score=asking.complexity_score,
        stop=stop,
        json_schema=json_schema,
        tools=tools,
    )
