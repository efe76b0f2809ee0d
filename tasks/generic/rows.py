"""Data as rows and columns, for tables of Markdown and for CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError
from tasks.blobs import INVALID_INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_COLUMNS = 1000
MOST_CELLS = 1_000_000
"""A list in which each object has names of its own would else have as many cells as the square of its length."""


def are_objects(data: Any) -> bool:
    """Whether data is a list of objects, at least one."""
    return isinstance(data, list) and bool(data) and all(isinstance(row, dict) for row in data)


def columns_of(rows: Sequence[dict[str, Any]], wanted: Sequence[str] | None) -> list[str]:
    """Return the columns that were asked for, else the names of all rows in the order they come first.

    Raises:
        BusinessError: INVALID_INPUT, there are too many, or too many cells; one is named twice.
    """
    found = list(wanted) if wanted is not None else list(dict.fromkeys(name for row in rows for name in row))
    if len(set(found)) < len(found):
        raise BusinessError(INVALID_INPUT, "columns: one is named twice")
    if len(found) > MOST_COLUMNS:
        raise BusinessError(INVALID_INPUT, f"data: {len(found)} columns, at most {MOST_COLUMNS} are written")
    if len(found) * len(rows) > MOST_CELLS:
        said = f"data: {len(rows)} rows of {len(found)} columns, at most {MOST_CELLS} cells are written"
        raise BusinessError(INVALID_INPUT, said)
    return found


def compact(value: Any) -> str:
    """Write a value on its own: a text as it is, nothing for null, JSON for the rest."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
