"""Database values as JSON, column by column: what most columns hold passes as it is, at the speed of C.

An integer beyond 2**53 becomes text, since JSON's readers need not keep its digits (RFC 8259, section 6); so do a
decimal number and what is not finite. Bytes become base64, moments and spans of time ISO 8601.
"""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import date, datetime, time
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_EXACT = 2**53
AS_IT_IS = frozenset({str, bool, NoneType})


def json_column(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a column as JSON knows them."""
    kinds = set(map(type, values))
    if kinds <= AS_IT_IS:
        return values
    if kinds == {int} and min(values) >= -LARGEST_EXACT and max(values) <= LARGEST_EXACT:
        return values
    if kinds == {float} and all(map(math.isfinite, values)):
        return values
    return [json_value(value) for value in values]


def json_value(value: Any) -> Any:
    """Return one value as JSON knows it; what nobody foresaw becomes its text."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -LARGEST_EXACT <= value <= LARGEST_EXACT else str(value)
        case float():
            return value if math.isfinite(value) else _not_finite(value)
        case dict():
            return {str(key): json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [json_value(inner) for inner in value]
        case bytes() | bytearray() | memoryview():
            return b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
    return str(value)


def _not_finite(value: float) -> str:
    """Write it in PostgreSQL's words."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
