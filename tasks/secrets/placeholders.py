"""Placeholders: `{{secrets.NAME}}`, anywhere in a text, is where a secret goes.

Only this form counts, and it is looked at once: a secret whose value holds a placeholder is not looked into again.
Whoever calls says which names may be resolved; a placeholder of another name stays as it is, as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import SecretStr

from procos.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PLACEHOLDER = re.compile(r"\{\{[ \t]*secrets\.([^{}]*?)[ \t]*\}\}")
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
LONGEST_SHOWN = 40

Value = TypeVar("Value")


def names_in(text: str) -> frozenset[str]:
    """Return the names of the secrets that a text of the model's or the operator's has places for.

    Raises:
        PermanentError: one of them is no name.
    """
    names = frozenset(PLACEHOLDER.findall(text))
    for name in sorted(names):
        if not NAME.fullmatch(name):
            shown = name[:LONGEST_SHOWN]
            raise PermanentError(
                f"no secret can be called {shown!r}: expected capitals, digits and _, as in {{{{secrets.CRM_TOKEN}}}}",
                code="SECRET_MISSING",
            )
    return names


def resolved(value: Value, secret: Callable[[str], str], names: Collection[str]) -> Value:
    """Return a text, or what holds texts, with the secrets of these names in their places."""

    def put(found: re.Match[str]) -> str:
        return secret(found[1]) if found[1] in names else found[0]

    def inside(inner: object) -> object:
        match inner:
            case str():
                return PLACEHOLDER.sub(put, inner)
            case SecretStr():
                return SecretStr(PLACEHOLDER.sub(put, inner.get_secret_value()))
            case dict():
                return {key: inside(item) for key, item in inner.items()}
            case list():
                return [inside(item) for item in inner]
            case tuple():
                return tuple(inside(item) for item in inner)
        return inner

    return cast("Value", inside(value))
