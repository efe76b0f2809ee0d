"""Reads the body of a chat completion: into an `Answer`, or into the error it amounts to.

Servers that call themselves compatible differ in what they leave out, so only what we need is looked at, and it is
looked at before anything relies on it. `tasks.ai.providers.openai_compatible` is the caller.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from procos.domain.errors import BusinessError
from tasks.ai.conversation import Answer, FinishReason, ToolCall
from tasks.ai.model_text import cleaned
from tasks.ai.providers.answers import answer_of
from tasks.ai.providers.faults import not_an_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.provider import Profile

REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}


COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class _Wire(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class _Function(_Wire):
    name: str
    arguments: str = "{}"


class _ToolCall(_Wire):
    id: str | None = None
    function: _Function


class _Message(_Wire):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: dict[str, Any] | None = None


def read_answer(body: bytes | Mapping[str, Any], profile: Profile, *, model: str) -> Answer:
    """Return the answer a body holds, or a completion that was put together from a stream.

    Raises:
        BusinessError: the answer was filtered, or the model refused.
        PermanentError: this is no chat completion, or the answer has no text for want of tokens.
        TransientError: the answer is empty.
    """
    completion = _parse(body, profile)
    choice = completion.choices[0]
    if choice.finish_reason == "content_filter":
        raise BusinessError("CONTENT_FILTERED", f"the content filter of {profile.name} withheld the answer")
    if choice.message.refusal:
        refusal = cleaned(choice.message.refusal)
        raise BusinessError("REFUSED", "the model refused to answer", variables={"refusal": refusal})
    return answer_of(
        text=choice.message.content or "",
        model=completion.model or model,
        finish_reason=REASONS.get(choice.finish_reason or "", FinishReason.UNKNOWN),
        usage=_counts(completion.usage or {}),
        tool_calls=_tool_calls(choice.message.tool_calls or []),
    )


def _parse(body: bytes | Mapping[str, Any], profile: Profile) -> _Completion:
    try:
        return _Completion.model_validate(json.loads(body) if isinstance(body, bytes) else body)
    except (ValueError, RecursionError) as error:
        raise not_an_answer(profile, _flaw(error)) from None  # the cause would quote the answer


def _flaw(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return ".".join(str(part) for part in first["loc"]) + ": " + first["msg"]
    return "not JSON"


def _tool_calls(calls: list[_ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=call.id or f"call_{number}", name=call.function.name, arguments=call.function.arguments)
        for number, call in enumerate(calls)
    )


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """The token counts by OpenAI's names; none are invented where a server sends none."""
    counts = {name: usage[name] for name in COUNTS if type(usage.get(name)) is int}
    for details in ("prompt_tokens_details", "completion_tokens_details"):
        for name in ("cached_tokens", "reasoning_tokens"):
            inner = usage.get(details)
            if isinstance(inner, dict) and type(inner.get(name)) is int:
                counts[name] = inner[name]
    return counts
