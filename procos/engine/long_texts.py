"""Texts that do not fit the engine's text column: sent another way, or named.

The column has 4,000 characters on most databases and 2,000 bytes on Oracle; a listener or a mapping of the model may
copy what fits into one where it does not. Objects lie in a column without limit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from procos.domain.errors import EngineRejectedError
from procos.domain.variables import JSON_OBJECT, TypedValue

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_EVERYWHERE = 1000
"""Characters of a text that is hardly ever the one too long: most letters take one or two of Oracle's 2,000 bytes."""


def as_objects(variables: Mapping[str, TypedValue]) -> dict[str, TypedValue]:
    """Return the variables with every long text as an object, which expressions read like the text itself."""
    return {name: _as_object(typed) if _is_long(typed) else typed for name, typed in variables.items()}


def has_long_texts(variables: Mapping[str, TypedValue]) -> bool:
    """Whether `as_objects` would change anything."""
    return any(_is_long(typed) for typed in variables.values())


def too_long(variables: Mapping[str, TypedValue], refusal: EngineRejectedError) -> EngineRejectedError:
    """Return the refusal in words that name the longest text, where there is one."""
    lengths = {name: len(str(typed.value)) for name, typed in variables.items() if typed.type == "String"}
    if not lengths:
        return refusal
    name = max(lengths, key=lambda name: lengths[name])
    return EngineRejectedError(
        f"a value is too long for a column of the engine's database; the longest text is variable {name!r} "
        f"({lengths[name]} characters): {refusal}",
        status=refusal.status,
        kind=refusal.kind,
        code=refusal.code,
    )


def _is_long(typed: TypedValue) -> bool:
    return typed.type == "String" and len(str(typed.value)) > LONGEST_EVERYWHERE


def _as_object(typed: TypedValue) -> TypedValue:
    return TypedValue(type="Object", value=json.dumps(typed.value, ensure_ascii=False), value_info=JSON_OBJECT)
