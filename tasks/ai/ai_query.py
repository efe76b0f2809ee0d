"""Topic `ai_query`: asks an AI provider a question and hands on its answer.

Running it twice is harmless: an answer that was paid for is kept for the step, and returned to the second run. The
external task's id travels along as `Idempotency-Key`, for providers that know it. Provider `auto` is resolved by the
policy of `tasks.ai.choosing`.
"""

from __future__ import annotations

from tasks.ai.asking import ask
from tasks.ai.conversation import Message, Role
from tasks.ai.fields import Answered, Asking, answered, wish_of
from tasks.ai.sendable import Text  # noqa: TC001  # pydantic reads it
from tasks.task import TaskContext, process_task


class AiQueryInput(Asking):
    """The question, and how it shall be answered."""

    user_query: Text


class AiQueryOutput(Answered):
    """The answer, and how it came about."""

    ai_response: str


@process_task(topic="ai_query")
def ai_query(query: AiQueryInput, context: TaskContext) -> AiQueryOutput:
    """Ask the provider, and return its answer.

    Raises:
        TaskError: no provider is configured, or the provider failed, refused or was unclear.
        StepCancelled: nobody waits for the answer any more.
    """
    reply = ask(wish_of(query, (Message(role=Role.USER, content=query.user_query),)), context)
    return AiQueryOutput(ai_response=reply.answer.text, **answered(reply))
