"""Text that comes from outside made fit to be stored: what databases and terminals choke on is taken out.

A model may emit NUL (which PostgreSQL refuses), other control characters, or half of a surrogate pair (which no
encoder takes), in a text as well as deep inside a structured answer. Line breaks and tabs stay. An answer that was paid
for is not thrown away for such a character; whoever hands it on says that something was taken out (`was_cleaned`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A text or a JSON value that can be stored, and whether characters had to be taken out of it for that."""

    value: Any
    was_cleaned: bool


def cleaned(text: str) -> str:
    """Return the text without control characters and lone surrogates, and with plain line feeds."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def needs_cleaning(text: str) -> bool:
    """Return whether `cleaned` would take something out; line breaks of another kind are only written otherwise."""
    return CONTROL.search(text) is not None


def cleaned_value(value: Any) -> Cleaned:
    """Return a JSON value with all its texts cleaned, names included.

    Two names that become the same are kept apart by a number. The value may be as deep as variables may be.
    """
    match value:
        case str():
            return Cleaned(value=cleaned(value), was_cleaned=needs_cleaning(value))
        case list():
            items = [cleaned_value(item) for item in value]
            return Cleaned(value=[item.value for item in items], was_cleaned=any(item.was_cleaned for item in items))
        case dict():
            return _cleaned_object(value)
    return Cleaned(value=value, was_cleaned=False)


def excerpt(text: str, *, secret: str = "", length: int = 200) -> str:
    """Return the text on one line, cut, and with a secret it may repeat struck out."""
    if secret:
        text = text.replace(secret, "***")
    line = " ".join(cleaned(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _cleaned_object(value: dict[str, Any]) -> Cleaned:
    members: dict[str, Any] = {}
    was_cleaned = False
    names = _Names(taken={name for name in value if cleaned(name) == name})
    for name, member in value.items():
        inner = cleaned_value(member)
        members[names.clean(name)] = inner.value
        was_cleaned |= inner.was_cleaned or needs_cleaning(name)
    return Cleaned(value=members, was_cleaned=was_cleaned)


@dataclass(slots=True, kw_only=True)
class _Names:
    """The names of one object: those that need no cleaning keep theirs, the others get what is left."""

    taken: set[str]
    used: Counter[str] = field(default_factory=Counter)
    """How many numbers each name has used up, so that many equal ones cost no search each."""

    def clean(self, name: str) -> str:
        found = clean = cleaned(name)
        if clean == name:
            return name
        while found in self.taken:
            self.used[clean] += 1
            found = f"{clean}_{self.used[clean] + 1}"
        self.taken.add(found)
        return found
