"""Writes rows as CSV (RFC 4180) that a spreadsheet shows and does not run.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is a formula to a spreadsheet, which may call other
programs and addresses with what stands in the neighbouring cells. Such texts get an apostrophe before them, wide forms
of the signs included, blanks and unseen characters before them passed over; numbers stay numbers.
Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
import unicodedata
from typing import Any

from procos.domain.errors import BusinessError
from tasks.blobs import INVALID_INPUT
from tasks.generic.rows import are_objects, columns_of, compact

FORMULA_SIGNS = frozenset("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  # the wide forms, which spreadsheets take for the others
UNSEEN = {"Cc", "Cf"}
"""Categories of Unicode: control characters, and such as the byte order mark, which a spreadsheet passes over."""
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
    return f"{GUARD}{text}" if _may_run(text) else text


def _may_run(text: str) -> bool:
    """Whether the first character that a spreadsheet sees begins a formula."""
    for character in text:
        if character in FORMULA_SIGNS:
            return True
        if not (character.isspace() or unicodedata.category(character) in UNSEEN):
            return False
    return False
