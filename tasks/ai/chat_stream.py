"""Puts a chat completion together from the events of a stream.

An answer is streamed so that it can be stopped, not so that anybody sees it grow: what comes out is the completion that
the same server would have sent as a whole, for `tasks.ai.chat_answer` to read. Servers differ in what they repeat in
each event, so the last word on each field counts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tasks.ai.providers import Provider

DONE = "[DONE]"


class StreamedError(Exception):
    """Raised when the server reports an error instead of going on; `said` is its error object."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        super().__init__("the server reported an error within a stream")


def assembled(pieces: Iterable[bytes], provider: Provider, *, largest: int) -> dict[str, Any]:
    """Return the completion whose events these bytes are.

    Raises:
        StreamedError: one of the events is an error.
        PermanentError: these are no events of a chat completion, or too many.
        TransientError: the events end before the answer does.
    """
    completion = _Assembly(provider, largest)
    for event in _events(pieces, provider, largest):
        if event == DONE:
            completion.is_over = True
            break
        completion.add(event)
    return completion.whole()


class _Assembly:
    def __init__(self, provider: Provider, largest: int) -> None:
        self.is_over = False
        self._provider, self._largest = provider, largest
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._size = 0
        self._finish_reason: object = None
        self._fields: dict[str, Any] = {}

    def add(self, event: str) -> None:
        try:
            chunk = json.loads(event)
        except (ValueError, RecursionError):
            raise _not_a_stream(self._provider, "an event is not JSON") from None
        if not isinstance(chunk, dict):
            raise _not_a_stream(self._provider, "an event is not an object")
        if error := chunk.get("error"):
            raise StreamedError(error if isinstance(error, dict) else {"message": str(error)})
        self._fields |= {name: chunk[name] for name in ("model", "usage") if chunk.get(name)}
        for choice in chunk.get("choices") or ():
            self._take(choice)

    def whole(self) -> dict[str, Any]:
        if not self.is_over:
            raise TransientError(f"{self._provider.name} at {self._provider.address} broke off its answer")
        message = {name: "".join(parts) for name, parts in self._texts.items()}
        return {"choices": [{"message": message, "finish_reason": self._finish_reason}], **self._fields}

    def _take(self, choice: Any) -> None:
        if not isinstance(choice, dict) or choice.get("index", 0) != 0:
            return
        if choice.get("finish_reason"):
            self._finish_reason, self.is_over = choice["finish_reason"], True
        said = choice.get("delta") or choice.get("message") or {}
        for name, parts in self._texts.items():
            text = said.get(name) if isinstance(said, dict) else None
            if text is None:
                continue
            if not isinstance(text, str):
                raise _not_a_stream(self._provider, f"{name} is not a text")
            self._size += len(text)
            if self._size > self._largest:
                raise too_large(self._provider, self._largest)
            parts.append(text)


def _events(pieces: Iterable[bytes], provider: Provider, largest: int) -> Iterator[str]:
    """Yield the data of each event; comments, which keep a connection warm, and other fields are passed over."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > largest:
            raise too_large(provider, largest)
        yield from _data(lines)
    yield from _data([rest])


def _data(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        name, _, value = line.rstrip(b"\r").partition(b":")
        if name == b"data" and value.strip():
            yield value.strip().decode(errors="replace")


def too_large(provider: Provider, largest: int) -> PermanentError:
    """Return the error for an answer that is not read to its end."""
    return PermanentError(
        f"{provider.name} at {provider.address} sent an answer of more than {largest} bytes", code="BAD_ANSWER"
    )


def _not_a_stream(provider: Provider, flaw: str) -> PermanentError:
    return PermanentError(
        f"{provider.name} at {provider.address} answered with something that is not a chat completion ({flaw}):"
        f" check {provider.address_setting}",
        code="BAD_ANSWER",
    )
