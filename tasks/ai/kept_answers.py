"""Keeps the answer a step was given, so that a second run of the step has it without paying again.

A message may be delivered again after its worker died, or the engine may try a step once more. An answer is kept under
the external task's id and a hash of the whole request, before the outcome of the step is reported: the same question of
the same step finds it, anything else does not. That a model refused, was filtered, or used up its tokens before its
first word was paid for too, and is kept alike. While Redis is away requests go on without. What a model says belongs to
the process, so it is not logged.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import redis

from procos import ai_keys as keys
from procos.domain.errors import BusinessError, PermanentError
from procos.logs import get_logger
from tasks.ai.conversation import Answer, FinishReason, ToolCall
from tasks.ai.outage import Outage
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.errors import TaskError
    from procos.domain.external_task import ExternalTaskId
    from tasks.ai.conversation import Message, Question, Tool
    from tasks.ai.provider import Profile

VERSION = 1
LARGEST_BYTES = 1024 * 1024
"""An answer above this is not kept: Redis holds everything in memory."""

REFUSALS = frozenset({"REFUSED", "CONTENT_FILTERED"})
"""The codes of answers that say no; whoever asks the same again pays for the same again."""
NO_ANSWER = "NO_ANSWER"
"""The code of an answer whose tokens were used up before its first word. An empty answer has this code too, but is
worth another try: it is a `TransientError`, and not kept."""

log = get_logger(__name__)


class KeptAnswers:
    """The answers of all steps, each for `kept_seconds`; may be shared by threads."""

    def __init__(self, url: str, *, kept_seconds: float) -> None:
        self._redis, self._kept = client(url), round(kept_seconds)
        self._outage = Outage("answers")

    def find(self, step: ExternalTaskId, request: str) -> Answer | TaskError | None:
        """Return what this step was answered to this request, if it is known: an answer, or the error it ended in."""
        try:
            kept = cast("bytes | None", self._redis.get(keys.answer(step, request)))
        except redis.RedisError as error:
            self._outage.note(error)
            return None
        self._outage.end()
        if kept is None:
            return None
        try:
            found = _read(json.loads(kept))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("ai.kept_answer_unreadable", external_task_id=step, reason=type(error).__name__)
            return None
        log.info("ai.kept_answer_found", external_task_id=step)
        return found

    def keep(self, step: ExternalTaskId, request: str, answer: Answer | TaskError) -> None:
        """Keep what this step was answered; call it before anything else is done with the answer.

        An error is kept where it is an answer too: a refusal, a filter's verdict, tokens used up. Others are not.
        """
        written = _written(answer) if isinstance(answer, Answer) else _written_error(answer)
        if written is None:
            return
        text = json.dumps(written).encode()
        if len(text) > LARGEST_BYTES:
            log.warning("ai.answer_not_kept", external_task_id=step, bytes=len(text), at_most=LARGEST_BYTES)
            return
        try:
            self._redis.set(keys.answer(step, request), text, ex=self._kept)
        except redis.RedisError as error:
            self._outage.note(error)
        else:
            self._outage.end()


@cache
def kept_answers(url: str, kept_seconds: float) -> KeptAnswers:
    """Return this process's kept answers."""
    return KeptAnswers(url, kept_seconds=kept_seconds)


def request_hash(profile: Profile, question: Question) -> str:
    """Return a text that is the same for the same request to the same provider, whoever computes it and when."""
    request = {
        "version": VERSION,
        "provider": profile.name,
        "model": question.model,
        "messages": [_message(message) for message in question.messages],
        "max_tokens": question.max_tokens,
        "temperature": float(question.temperature),
        "stop": list(question.stop),
        "json_schema": question.json_schema,
        "tools": [_tool(tool) for tool in question.tools],
    }
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), default=dict)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _message(message: Message) -> Mapping[str, Any]:
    return {
        "role": str(message.role),
        "content": message.content,
        "tool_calls": [_tool_call(call) for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
    }


def _tool(tool: Tool) -> Mapping[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _tool_call(call: ToolCall) -> Mapping[str, str]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _written(answer: Answer) -> Mapping[str, Any]:
    return {
        "procos": VERSION,
        "text": answer.text,
        "model": answer.model,
        "finish_reason": str(answer.finish_reason),
        "usage": dict(answer.usage),
        "tool_calls": [_tool_call(call) for call in answer.tool_calls],
        "was_cleaned": answer.was_cleaned,
    }


def _written_error(error: TaskError) -> Mapping[str, Any] | None:
    match error:
        case BusinessError() if error.code in REFUSALS:
            return {
                "procos": VERSION, "code": error.code, "message": error.message, "variables": error.variables,
            }  # fmt: skip
        case PermanentError(code=code) if code == NO_ANSWER:
            return {"procos": VERSION, "code": code, "message": str(error)}
    return None


def _read(source: Any) -> Answer | TaskError:
    """Read what was kept.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is not an answer, or one of another version.
    """
    if source["procos"] == VERSION and "code" in source:
        return _read_error(source)
    if source["procos"] != VERSION or not isinstance(source["text"], str):
        raise ValueError("not an answer of this version")
    return Answer(
        text=source["text"],
        model=str(source["model"]),
        finish_reason=FinishReason(source["finish_reason"]),
        usage={str(name): int(count) for name, count in source["usage"].items()},
        tool_calls=tuple(ToolCall(**call) for call in source["tool_calls"]),
        was_cleaned=source["was_cleaned"] is True,
    )


def _read_error(source: Any) -> TaskError:
    code, message = source["code"], str(source["message"])
    if code == NO_ANSWER:
        return PermanentError(message, code=code)
    if code not in REFUSALS:
        raise ValueError("no such refusal")
    return BusinessError(code, message, variables={str(name): value for name, value in source["variables"].items()})
