"""What a worker takes from a queue: looks at a message before Celery does, and says what is wrong with it.

Celery trusts what it reads: a body of the wrong shape ends a worker's main process, and comes back to end the next one;
a header without an id stops it from consuming; invalid JSON is acknowledged and gone. `procos.worker` asks `flaw_of`
first and rejects what has one. The body is decoded once: kombu keeps what it decoded, and Celery finds it there.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ContentDisallowed

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST = 200
"""Celery hands a task on to its processes by pickle, which gives up at somewhat more than twice this depth."""
LONGEST_NAME = 200
TIME_LIMITS = 2


def flaw_of(message: Any, *, largest: int) -> str | None:
    """Say what keeps a message from being a task, in words that quote nothing of it; None for a good one."""
    return _flaw_of_headers(message.headers) or _flaw_of_body(message, largest)


def named(message: Any) -> dict[str, object]:
    """Return what is known of a message for the log: names, ids and sizes, nothing of its contents."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    delivery = message.delivery_info or {}
    return {
        "queue": _short(delivery.get("routing_key")),
        "task": _short(headers.get("task")),
        "celery_id": _short(headers.get("id")),
        "content_type": _short(message.content_type),
        "bytes": _size(message.body),
    }


def _flaw_of_headers(headers: Any) -> str | None:
    if not isinstance(headers, dict):
        return "the headers are no table"
    for name in ("task", "id"):
        text = headers.get(name)
        if not isinstance(text, str) or not text or len(text) > LONGEST_NAME:
            return f"the header {name!r} is not a text of 1 to {LONGEST_NAME} characters"
    limits = headers.get("timelimit")
    if limits is not None and not (
        isinstance(limits, list | tuple) and len(limits) == TIME_LIMITS and all(map(_is_limit, limits))
    ):
        return "the header 'timelimit' is not two numbers"
    return None


def _flaw_of_body(message: Any, largest: int) -> str | None:
    if _size(message.body) > largest:
        return f"the body has more than {largest} bytes"
    try:
        parts = message.payload
    except ContentDisallowed:
        return "the content type is not allowed"
    except Exception as error:  # noqa: BLE001  # whatever a decoder raises, the message is what is wrong
        return f"the body cannot be decoded: {type(error).__name__}"
    match parts:
        case [list(), dict(), dict() as embedded]:
            return _flaw_of_embedded(embedded) or _flaw_of_depth(message.body, parts)
    return "the body is not a list of arguments, keyword arguments and options"


def _flaw_of_embedded(embedded: dict[str, Any]) -> str | None:
    for name in ("callbacks", "errbacks"):
        signatures = embedded.get(name)
        if signatures is not None and not (
            isinstance(signatures, list) and all(isinstance(each, dict) and "task" in each for each in signatures)
        ):
            return f"the option {name!r} is not a list of tasks"
    return None


def _flaw_of_depth(body: Any, parts: Any) -> str | None:
    # Counting brackets is a thousand times faster than looking, and settles it for nearly every message.
    opened = body.count("[") + body.count("{") if isinstance(body, str) else _opened(body)
    return f"the body is nested more than {DEEPEST} deep" if opened > DEEPEST and _is_deep(parts) else None


def _opened(body: Any) -> int:
    raw = bytes(body)
    return raw.count(b"[") + raw.count(b"{")


def _is_deep(parts: Any) -> bool:
    level: list[Any] = [parts]
    for _ in range(DEEPEST):
        level = list(chain.from_iterable(_inside(each) for each in level))
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [each for each in inner if isinstance(each, dict | list)]


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


def _size(body: Any) -> int:
    return len(body) if body is not None else 0


def _short(value: object) -> str | None:
    return None if value is None else str(value)[:LONGEST_NAME]
