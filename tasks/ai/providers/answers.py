"""What every adapter makes of what a model said: text fit to be stored, or the error an empty answer amounts to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError
from tasks.ai.conversation import Answer, FinishReason, ToolCall
from tasks.ai.model_text import CONTROL, cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    if not text.strip() and not tool_calls:
        if finish_reason is FinishReason.LENGTH:
            raise PermanentError("the model used up max_tokens before it wrote anything: allow more", code="NO_ANSWER")
        raise TransientError("the model answered with an empty text", code="NO_ANSWER")
    written = [text, *(part for call in tool_calls for part in (call.id, call.name, call.arguments))]
    return Answer(
        text=cleaned(text),
        model=cleaned(model),
        finish_reason=finish_reason,
        usage=usage,
        tool_calls=tuple(
            ToolCall(id=cleaned(call.id), name=cleaned(call.name), arguments=cleaned(call.arguments))
            for call in tool_calls
        ),
        was_cleaned=any(CONTROL.search(part.replace("\r", "")) for part in written),
    )
