"""Reads the body of a chat completion: into an `Answer`, or into the error it amounts to.

Servers that call themselves compatible differ in what they leave out, so only what we need is looked at, and it is
looked at before anything relies on it. `tasks.ai.chat` is the caller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.ai.model_text import cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.providers import Provider

_Text = Annotated[str, BeforeValidator(lambda value: cleaned(value) if isinstance(value, str) else value)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The text of an answer, and what the server said about how it came to be."""

    text: str
    model: str
    finish_reason: str
    usage: Mapping[str, int]


class _Wire(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class _Message(_Wire):
    content: _Text | None = None
    refusal: _Text | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: _Text | None = None


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    model: _Text | None = None
    usage: dict[str, Any] | None = None


def read_answer(body: bytes | Mapping[str, Any], provider: Provider) -> Answer:
    """Return the answer a body holds, or a completion that was put together from a stream.

    Raises:
        BusinessError: the answer was filtered, or the model refused.
        PermanentError: this is no chat completion, or the answer has no text for want of tokens.
        TransientError: the answer is empty.
    """
    completion = _parse(body, provider)
    choice = completion.choices[0]
    finish_reason = choice.finish_reason or "unknown"
    if finish_reason == "content_filter":
        raise BusinessError("CONTENT_FILTERED", f"the content filter of {provider.name} withheld the answer")
    if choice.message.refusal:
        raise BusinessError("REFUSED", "the model refused to answer", variables={"refusal": choice.message.refusal})
    return Answer(
        text=_text(choice.message.content or "", finish_reason),
        model=completion.model or provider.model,
        finish_reason=finish_reason,
        usage=_counts(completion.usage or {}),
    )


def _parse(body: bytes | Mapping[str, Any], provider: Provider) -> _Completion:
    try:
        return _Completion.model_validate(json.loads(body) if isinstance(body, bytes) else body)
    except (ValueError, RecursionError) as error:
        raise PermanentError(
            f"{provider.name} at {provider.address} answered with something that is not a chat completion"
            f" ({_flaw(error)}): check {provider.address_setting}",
            code="BAD_ANSWER",
        ) from None  # the cause would quote the answer


def _flaw(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return ".".join(str(part) for part in first["loc"]) + ": " + first["msg"]
    return "not JSON"


def _text(text: str, finish_reason: str) -> str:
    if text.strip():
        return text
    if finish_reason == "length":
        raise PermanentError("the model used up max_tokens before it wrote anything: allow more", code="NO_ANSWER")
    raise TransientError("the model answered with an empty text", code="NO_ANSWER")


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """The token counts by OpenAI's names; none are invented where a server sends none."""
    counts = {name: count for name, count in usage.items() if type(count) is int}
    for details in ("prompt_tokens_details", "completion_tokens_details"):
        for name in ("cached_tokens", "reasoning_tokens"):
            count = (usage.get(details) or {}).get(name)
            if type(count) is int:
                counts[name] = count
    return counts
