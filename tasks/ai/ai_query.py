"""Topic `ai_query`: asks an AI provider a question and hands on its answer.

Running it twice is harmless: the question is asked again, which costs tokens and may give another wording; nothing
outside the process changes, and the engine takes one of the answers. The external task's id travels along as
`Idempotency-Key`, for providers that know it. Provider `auto` is resolved by the rule of `tasks.ai.selection`.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, Field

from procos.logs import get_logger
from tasks.ai.choosing import select_provider
from tasks.ai.conversation import FinishReason, Message, Question, Role
from tasks.ai.provider import Watch
from tasks.ai.providers.registry import provider_named
from tasks.ai.selection import AUTO
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from tasks.ai.provider import Provider

log = get_logger(__name__)

LARGEST_TOKEN_LIMIT = 1_000_000
UNSENDABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What no provider takes as text."""


def _question(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    if found := UNSENDABLE.search(text):
        raise ValueError(f"contains the character U+{ord(found[0]):04X}")
    return text


class AiQueryInput(BaseModel):
    """The question, and how it shall be answered."""

    user_query: Annotated[str, AfterValidator(_question)]
    provider: str = AUTO
    model: str | None = Field(None, min_length=1, max_length=200)
    max_tokens: int = Field(1000, ge=1, le=LARGEST_TOKEN_LIMIT)
    temperature: float = Field(0.7, ge=0, le=2)
    complexity_score: float = Field(0.0, ge=0, le=1)


class AiQueryOutput(BaseModel):
    """The answer, and how it came about; `usage` is empty where the provider counts no tokens."""

    ai_response: str
    model_used: str
    provider: str
    selected_provider: str
    usage: dict[str, int]
    response_time_ms: int
    finish_reason: FinishReason


@process_task(topic="ai_query")
def ai_query(query: AiQueryInput, context: TaskContext) -> AiQueryOutput:
    """Ask the provider, and return its answer.

    Raises:
        TaskError: no provider is configured, or the provider failed, refused or was unclear.
        StepCancelled: nobody waits for the answer any more.
    """
    provider = _provider(query, context)
    question = Question(
        messages=(Message(role=Role.USER, content=query.user_query),),
        model=query.model or provider.profile.model,
        max_tokens=query.max_tokens,
        temperature=query.temperature,
        idempotency_key=context.idempotency_key,
    )
    started = time.monotonic()
    answer = provider.complete(question, within=context.remaining(), watch=Watch(is_cancelled=context.is_cancelled))
    milliseconds = round((time.monotonic() - started) * 1000)
    name = provider.profile.name
    log.info("ai.answered", provider=name, model=answer.model, milliseconds=milliseconds, **answer.usage)
    return AiQueryOutput(
        ai_response=answer.text,
        model_used=answer.model,
        provider=name,
        selected_provider=name,
        usage=dict(answer.usage),
        response_time_ms=milliseconds,
        finish_reason=answer.finish_reason,
    )


def _provider(query: AiQueryInput, context: TaskContext) -> Provider:
    name = query.provider
    if name == AUTO:
        name = select_provider(query.user_query, query.complexity_score, context.settings).provider
    return provider_named(name, context.settings)
