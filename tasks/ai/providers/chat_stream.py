"""Puts a chat completion together from the events of a stream.

What comes out is the completion that the same server would have sent as a whole, for `chat_answer` to read; on the way
each piece of text is told to whoever watches. Servers differ in what they repeat in each event, so the last word on
each field counts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2

from procos.domain.errors import TransientError
from tasks.ai.providers.faults import broke_off, not_an_answer, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tasks.ai.provider import Profile

DONE = "[DONE]"
MOST_TOOL_CALLS = 128
REASONING = ("reasoning_content", "reasoning")
"""Where servers put what a model says to itself first; OpenAI's own do not show it."""


class StreamedError(Exception):
    """Raised when the server reports an error instead of going on; `said` is its error object."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        super().__init__("the server reported an error within a stream")


def assembled(
    pieces: Iterable[bytes], profile: Profile, *, largest: int, heard: Callable[[str], None]
) -> dict[str, Any]:
    """Return the completion whose events these bytes are; `heard` is told each piece of its text.

    Raises:
        StreamedError: one of the events is an error.
        PermanentError: these are no events of a chat completion, or too many.
        TransientError: the events end before the answer does.
    """
    completion = _Assembly(profile, largest, heard)
    try:
        for event in _events(pieces, profile, largest):
            if event == DONE:
                completion.is_over = True
                break
            completion.add(event)
    except (TransientError, httpx2.HTTPError):
        if not completion.is_over:
            raise  # else the answer is whole, and only the end of the stream is missing
    return completion.whole()


class _Assembly:
    def __init__(self, profile: Profile, largest: int, heard: Callable[[str], None]) -> None:
        self.is_over = False
        self._profile, self._largest, self._heard = profile, largest, heard
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: dict[int, dict[str, str]] = {}
        self._size = 0
        self._finish_reason: object = None
        self._fields: dict[str, Any] = {}

    def add(self, event: str) -> None:
        try:
            chunk = json.loads(event)
        except (ValueError, RecursionError):
            raise not_an_answer(self._profile, "an event is not JSON") from None
        if not isinstance(chunk, dict):
            raise not_an_answer(self._profile, "an event is not an object")
        if error := chunk.get("error"):
            raise StreamedError(error if isinstance(error, dict) else {"message": str(error)})
        self._fields |= {name: chunk[name] for name in ("model", "usage") if chunk.get(name)}
        for choice in _list(chunk.get("choices")):
            self._take(choice)

    def whole(self) -> dict[str, Any]:
        if not self.is_over:
            raise broke_off(self._profile)
        message: dict[str, Any] = {name: "".join(parts) for name, parts in self._texts.items()}
        if self._calls:
            message["tool_calls"] = [
                {"id": call["id"] or None, "function": {"name": call["name"], "arguments": call["arguments"] or "{}"}}
                for _, call in sorted(self._calls.items())
            ]
        return {"choices": [{"message": message, "finish_reason": self._finish_reason}], **self._fields}

    def _take(self, choice: Any) -> None:
        if not isinstance(choice, dict) or choice.get("index", 0) != 0:
            return
        if choice.get("finish_reason"):
            self._finish_reason, self.is_over = choice["finish_reason"], True
        said = choice.get("delta") or choice.get("message") or {}
        if not isinstance(said, dict):
            return
        if any(isinstance(said.get(name), str) and said[name] for name in REASONING):
            self._heard("")  # a sign of life, and no part of the answer
        for name, parts in self._texts.items():
            if text := self._text(said.get(name), name):
                parts.append(text)
        for call in _list(said.get("tool_calls")):
            self._take_call(call)

    def _take_call(self, part: Any) -> None:
        function = part.get("function") if isinstance(part, dict) else None
        index = part.get("index", len(self._calls)) if isinstance(part, dict) else None
        if not isinstance(function, dict) or not isinstance(index, int) or index >= MOST_TOOL_CALLS:
            raise not_an_answer(self._profile, "a tool call is none")
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = call["id"] or self._text(part.get("id"), "a tool call's id")
        call["name"] = call["name"] or self._text(function.get("name"), "a tool's name")
        call["arguments"] += self._text(function.get("arguments"), "a tool call's arguments")

    def _text(self, text: object, what: str) -> str:
        """Check and count a piece of text, and tell it."""
        if text is None:
            return ""
        if not isinstance(text, str):
            raise not_an_answer(self._profile, f"{what} is not a text")
        self._size += len(text)
        if self._size > self._largest:
            raise too_large(self._profile, self._largest)
        if text:
            self._heard(text)
        return text


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _events(pieces: Iterable[bytes], profile: Profile, largest: int) -> Iterator[str]:
    """Yield the data of each event; comments, which keep a connection warm, and other fields are passed over."""
    for line in lines_of(pieces, profile, largest):
        name, _, value = line.partition(b":")
        if name == b"data" and value.strip():
            yield value.strip().decode(errors="replace")


def lines_of(pieces: Iterable[bytes], profile: Profile, largest: int) -> Iterator[bytes]:
    """Yield the lines of a body as they become whole, the last one even if it does not end.

    Raises:
        PermanentError: a line is longer than an answer may be.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > largest:
            raise too_large(profile, largest)
        yield from (line.rstrip(b"\r") for line in lines)
    yield rest.rstrip(b"\r")
