"""What every adapter makes of what a model said: text fit to be stored, or the error an empty answer amounts to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError
from procos.logs import get_logger
from tasks.ai.conversation import Answer, FinishReason, ToolCall
from tasks.ai.model_text import cleaned, needs_cleaning
from tasks.ai.tool_arguments import read_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.domain.errors import TaskError
    from tasks.ai.conversation import Question

log = get_logger(__name__)


def answer_of(
    *,
    text: str,
    model: str,
    finish_reason: FinishReason,
    usage: Mapping[str, int],
    tool_calls: Sequence[ToolCall] = (),
) -> Answer:
    """Return the answer, without characters that cannot be stored: it was paid for, so it is not thrown away.

    Raises:
        PermanentError: there is no text for want of tokens.
        TransientError: the answer is empty.
    """
    clean = cleaned(text)
    if not clean.strip() and not tool_calls:
        raise _nothing_said(finish_reason)
    return Answer(
        text=clean,
        model=cleaned(model),
        finish_reason=finish_reason,
        usage=usage,
        tool_calls=tuple(
            ToolCall(id=cleaned(call.id), name=cleaned(call.name), arguments=cleaned(call.arguments))
            for call in tool_calls
        ),
        was_cleaned=needs_cleaning(text) or any(map(_needs_cleaning, tool_calls)),
    )


def as_offered(answer: Answer, question: Question) -> Answer:
    """Return the answer without calls of tools where the question offers none: nobody is there to call them.

    Raises:
        TaskError: nothing else was said; as with `answer_of`.
    """
    if question.tools or not answer.tool_calls:
        return answer
    log.warning("ai.tool_calls_dropped", model=answer.model, calls=len(answer.tool_calls))
    if not answer.text.strip():
        raise _nothing_said(answer.finish_reason)
    was_for_tools = answer.finish_reason is FinishReason.TOOL_CALLS
    return replace(answer, tool_calls=(), finish_reason=FinishReason.UNKNOWN if was_for_tools else answer.finish_reason)


def _nothing_said(finish_reason: FinishReason) -> TaskError:
    if finish_reason is FinishReason.LENGTH:
        return PermanentError("the model used up max_tokens before it wrote anything: allow more", code="NO_ANSWER")
    return TransientError("the model answered with an empty text", code="NO_ANSWER")


def _needs_cleaning(call: ToolCall) -> bool:
    return needs_cleaning(call.id) or needs_cleaning(call.name) or read_arguments(call.arguments).was_cleaned
