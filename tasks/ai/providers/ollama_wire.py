"""Ollama's messages: writes what `/api/chat` takes, and reads the lines of JSON it streams.

Token counts get OpenAI's names, and Ollama's own durations stand beside them, in nanoseconds, as it sends them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.ai.conversation import FinishReason, Role, ToolCall
from tasks.ai.providers.answers import answer_of
from tasks.ai.providers.chat_stream import lines_of
from tasks.ai.providers.faults import not_an_answer, too_large
from tasks.ai.tool_arguments import read_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tasks.ai.conversation import Answer, Message, Question
    from tasks.ai.provider import Profile

REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class _Wire(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)


class _Function(_Wire):
    name: str
    arguments: dict[str, Any] = {}


class _ToolCall(_Wire):
    function: _Function


class Words(_Wire):
    """The message of one line."""

    content: str = ""
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class Reply(_Wire):
    """One line of a stream."""

    error: str = ""
    model: str = ""
    message: Words | None = None
    done: bool = False
    done_reason: str = ""
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None


@dataclass(slots=True)
class Said:
    """What was read so far."""

    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    last: Reply = field(default_factory=Reply)

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the question the server counted, None where it did not."""
        return self.last.prompt_eval_count

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""
        return self.last.eval_count or 0

    def add(self, reply: Reply, words: Words) -> None:
        """Take in one line."""
        self.last = reply
        self.texts.append(words.content)
        for call in words.tool_calls or ():
            arguments = json.dumps(call.function.arguments, ensure_ascii=False)
            self.calls.append(ToolCall(id=f"call_{len(self.calls)}", name=call.function.name, arguments=arguments))

    def answer(self, model: str) -> Answer:
        """Return the answer; errors as `answer_of` says."""
        reason = REASONS.get(self.last.done_reason, FinishReason.UNKNOWN)
        return answer_of(
            text="".join(self.texts),
            model=self.last.model or model,
            finish_reason=FinishReason.TOOL_CALLS if self.calls else reason,
            usage=_usage(self.last),
            tool_calls=self.calls,
        )


def written(question: Question, *, context: int, takes_schema: bool) -> dict[str, Any]:
    """Return the body of a request; `context` is how many tokens the server shall make room for."""
    options: dict[str, Any] = {
        "num_ctx": context,
        "num_predict": question.max_tokens,
        "temperature": question.temperature,
    }
    names = {call.id: call.name for message in question.messages for call in message.tool_calls}
    if question.stop:
        options["stop"] = list(question.stop)
    body: dict[str, Any] = {
        "model": question.model,
        "messages": [_message(message, names) for message in question.messages],
        "stream": True,
        "options": options,
    }
    if question.json_schema is not None and takes_schema:
        body["format"] = dict(question.json_schema)
    if question.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in question.tools
        ]
    return body


def read(pieces: Iterable[bytes], profile: Profile, *, largest: int) -> Iterator[Reply]:
    """Yield the lines of a stream.

    Raises:
        PermanentError: a line is none of Ollama's, or there is too much of them.
    """
    size = 0
    for line in lines_of(pieces, profile, largest):
        size += len(line)
        if size > largest:
            raise too_large(profile, largest)
        if line.strip():
            yield _reply(line, profile)


def message_of(reply: Reply, profile: Profile) -> Words:
    """Return the message of a line; the last one may have none.

    Raises:
        PermanentError: a line in the middle has none.
    """
    if reply.message is None and not reply.done:
        raise not_an_answer(profile, "a line has no message")
    return reply.message or Words()


def error_in(body: bytes) -> str:
    """Return the message of a refusal, or nothing where it is not one of Ollama's."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, str) else ""


def _reply(line: bytes, profile: Profile) -> Reply:
    try:
        return Reply.model_validate_json(line)
    except (ValidationError, RecursionError) as error:
        flaw = (
            error.errors(include_url=False, include_input=False)[0]["msg"] if isinstance(error, ValidationError) else ""
        )
        raise not_an_answer(profile, flaw or "not JSON") from None  # the cause would quote the answer


def _message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"function": {"name": call.name, "arguments": _object(call.arguments)}} for call in message.tool_calls
        ]
    if message.role is Role.TOOL and message.tool_call_id:
        wire["tool_name"] = names.get(message.tool_call_id, message.tool_call_id)
    return wire


def _object(arguments: str) -> Mapping[str, Any]:
    found = read_arguments(arguments).value
    return found if isinstance(found, dict) else {}


def _usage(last: Reply) -> dict[str, int]:
    counts = {"prompt_tokens": last.prompt_eval_count, "completion_tokens": last.eval_count}
    known = {name: count for name, count in counts.items() if count is not None}
    if len(known) == len(counts):
        known["total_tokens"] = sum(known.values())
    durations = {name: getattr(last, name) for name in DURATIONS}
    return known | {name: duration for name, duration in durations.items() if duration is not None}
