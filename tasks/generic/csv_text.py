"""Writes rows as CSV (RFC 4180) that a spreadsheet shows and does not run.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is a formula to a spreadsheet, which may call other
programs and addresses with what stands in the neighbouring cells. Such texts get an apostrophe before them, blanks and
wide forms of the signs included; numbers stay numbers. Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from typing import Any

from procos.domain.errors import BusinessError
from tasks.blobs import INVALID_INPUT
from tasks.generic.rows import are_objects, columns_of, compact

FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  # the wide forms, which spreadsheets take for the others
GUARD = "'"


def written(
    data: Any,
    *,
    columns: list[str] | None,
    delimiter: str,
    with_header: bool,
    quotes_all: bool,
    guards_formulas: bool,
) -> str:
    """Write a list of objects, or one object, as CSV; a member that is not there is an empty cell.

    Raises:
        BusinessError: INVALID_INPUT, the data is something else, or too large.
    """
    rows = [data] if isinstance(data, dict) else data
    if not (are_objects(rows) or rows == []):
        raise BusinessError(INVALID_INPUT, "data: expected a list of objects for csv")
    names = columns_of(rows, columns)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL if quotes_all else csv.QUOTE_MINIMAL)
    lines: list[list[Any]] = [names] if with_header and names else []
    lines.extend([row.get(name) for name in names] for row in rows)
    for line in lines:
        writer.writerow([_cell(value, guards=guards_formulas) for value in line])
    return text.getvalue()


def _cell(value: Any, *, guards: bool) -> str:
    text = compact(value)
    if not guards or isinstance(value, int | float):
        return text
    return f"{GUARD}{text}" if text.startswith(FORMULA_SIGNS) or text.lstrip().startswith(FORMULA_SIGNS) else text
