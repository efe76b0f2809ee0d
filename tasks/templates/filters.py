"""The filters of text templates, and how a value is written: each ends soon, and makes no text that is too long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_TEXT = 1_000_000
"""Characters of all that a template writes, and of any text a filter returns."""


class TooMuchError(Exception):
    """Raised when a template wants to write, go round or compute more than it may; says what."""


def check_length(length: int) -> None:
    """Refuse a text that is too long.

    Raises:
        TooMuchError: it is.
    """
    if length > LONGEST_TEXT:
        raise TooMuchError(f"becomes longer than {LONGEST_TEXT} characters")


def shown(value: Any) -> str:
    """Write a value as a person would: JSON for what has members, nothing for nothing."""
    match value:
        case None:
            return ""
        case str() | jinja2.Undefined():
            return str(value)
        case bool() | list() | dict():
            return as_json(value)
        case int() | float():
            return str(value)
    raise TypeError


def as_json(value: Any) -> str:
    """Write a value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def _join(values: Any, separator: str = "") -> str:
    texts = [shown(value) for value in values]
    check_length(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _default(value: Any, otherwise: Any = "") -> Any:
    return otherwise if value is None or isinstance(value, jinja2.Undefined) else value


def _truncate(value: str, length: int = 255) -> str:
    return value if len(value) <= length else f"{value[: max(length - 1, 0)]}…"


FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "first": lambda values: values[0] if values else None,
    "join": _join,
    "last": lambda values: values[-1] if values else None,
    "length": len,
    "lower": str.lower,
    "tojson": as_json,
    "trim": str.strip,
    "truncate": _truncate,
    "upper": str.upper,
}
