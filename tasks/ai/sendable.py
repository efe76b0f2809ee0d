"""What of a step's variables can be sent to a provider: texts that every encoder takes, and numbers JSON has.

The rest is refused before anybody is asked. No adapter could write it, and what the process is handed back with the
answer, as its conversation, could not be stored once the answer is paid for. The AI topics' input models use the types.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator

UNSENDABLE = re.compile(r"[\x00\ud800-\udfff]")
"""What no provider takes as text."""

Value = TypeVar("Value")


def unsendable(value: object) -> str:
    """Return what in a JSON value cannot be sent, as what follows on its name, or nothing."""
    left = [value]
    while left:
        match left.pop():
            case str() as text if found := UNSENDABLE.search(text):
                return f"contains the character U+{ord(found[0]):04X}"
            case float() as number if not math.isfinite(number):
                return f"contains {number}, which is not JSON"
            case dict() as members:
                left += [*members, *members.values()]
            case list() as items:
                left += items
    return ""


def _sendable(value: Value) -> Value:
    if reason := unsendable(value):
        raise ValueError(reason)
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


SENDABLE = AfterValidator(_sendable)
Words = Annotated[str, SENDABLE]
"""A text that can be sent."""
Text = Annotated[Words, AfterValidator(_not_blank)]
"""One that is not blank either."""
