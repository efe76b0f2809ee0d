"""Gathers the rows of a result, up to the limits of its connection, and never more of them in memory than that."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError
from tasks.adapters.database.faults import INVALID
from tasks.adapters.database.query import Rows
from tasks.adapters.database.values import json_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import CursorResult

    from tasks.adapters.database.connection import DatabaseConnection

FIRST, LARGEST_BATCH = 20, 2000
"""Rows asked for at once: the first tell how large they are, and so how many more there is room for."""
MOST_COLUMNS = 500
"""PostgreSQL returns up to 1,664, which no process reads."""
ANY_VALUE = 8
"""Bytes a number, a truth or a null takes as JSON, about."""
PUNCTUATION = 6
"""Bytes of quotes, colon and comma around a member."""
TOO_LARGE = "RESULT_TOO_LARGE"


def gathered(result: CursorResult[Any], limits: DatabaseConnection, *, check_time: Callable[[], None]) -> Rows:
    """Return the rows of a result as JSON knows them.

    Args:
        result: what a statement returned.
        limits: the connection, whose limits of rows and bytes count.
        check_time: raises when there is no time left.

    Raises:
        PermanentError: two columns have the same name, there are too many, or one row is too large.
    """
    if not result.returns_rows:
        return Rows.model_construct(rows=[], columns=[], row_count=max(result.rowcount, 0), truncated=False)
    columns = _columns(result)
    rows: list[dict[str, Any]] = []
    left, batch, truncated = limits.byte_limit, FIRST, False
    while not truncated:
        wanted = min(batch, limits.row_limit + 1 - len(rows))
        found = result.fetchmany(wanted)
        fitting = [json_column(column) for column in zip(*found, strict=True)]
        sizes = _sizes(columns, fitting, left)
        truncated = len(sizes) < len(found) or len(rows) + len(found) > limits.row_limit
        left -= sum(sizes)
        new = [dict(zip(columns, row, strict=True)) for row in zip(*fitting, strict=True)]
        rows += new[: min(len(sizes), limits.row_limit - len(rows))]
        if len(found) < wanted:
            break
        check_time()
        mean = (limits.byte_limit - left) // len(rows) if rows else limits.byte_limit
        batch = max(1, min(left // max(mean, 1) + 1, LARGEST_BATCH))
    if truncated and not rows:
        raise PermanentError(f"the first row alone has more than {limits.byte_limit} bytes", code=TOO_LARGE)
    return Rows.model_construct(rows=rows, columns=columns, row_count=len(rows), truncated=truncated)


def _columns(result: CursorResult[Any]) -> list[str]:
    # The driver's own: SQLAlchemy's names of SQLite's columns lose what stands before a dot.
    names = [str(each[0]) for each in result.cursor.description] if result.cursor else list(result.keys())
    if len(names) > MOST_COLUMNS:
        raise PermanentError(f"the statement returns {len(names)} columns, more than {MOST_COLUMNS}", code=INVALID)
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        text = f"the statement returns more than one column called {', '.join(map(repr, twice[:5]))}"
        raise PermanentError(f"{text}; name them apart with AS", code=INVALID)
    return names


def _sizes(columns: Sequence[str], values: Sequence[Sequence[Any]], left: int) -> Sequence[int]:
    """Return the bytes of the rows as JSON, about: of those that fit what is left."""
    if not values:
        return []
    fixed = sum(len(name) + PUNCTUATION for name in columns)
    total = fixed * len(values[0]) + sum(sum(map(_size, column)) for column in values)
    if total <= left:
        return [0] * (len(values[0]) - 1) + [total]
    sizes: list[int] = []
    for row in zip(*values, strict=True):
        sizes.append(fixed + sum(map(_size, row)))
        if sum(sizes) > left:
            return sizes[:-1]
    return sizes


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value)) if isinstance(value, dict | list) else ANY_VALUE
