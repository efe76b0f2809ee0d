"""Writes data as Markdown in which no value is anything but text.

Every sign that means something to CommonMark or its GitHub dialect is escaped by a backslash (CommonMark 0.31, section
2.4: any ASCII punctuation may be), so a value makes no link, no image, no HTML, no heading and no further cell. What a
renderer makes of plain text stays its own affair.
"""

from __future__ import annotations

import re
from typing import Any

from procos.domain.errors import BusinessError
from tasks.blobs import INVALID_INPUT
from tasks.generic.rows import are_objects, columns_of, compact

SIGNS = re.compile(r"([!#$&()*+\-.:<=>@\[\\\]^_`{|}~])")
BLANKS = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")
LINES = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


def document(data: Any, columns: list[str] | None) -> str:
    """Write a list of objects as a table, an object as one of names and values, a list as bullets, else a paragraph.

    Raises:
        BusinessError: INVALID_INPUT, columns were asked for where there are no rows, or the table is too large.
    """
    if are_objects(data):
        return _table(data, columns)
    if columns is not None:
        raise BusinessError(INVALID_INPUT, "columns: data is no list of objects, which alone has columns")
    if isinstance(data, dict):
        return record(data)
    if isinstance(data, list):
        return "\n".join(f"- {cell(item)}" for item in data)
    return "\n\n".join(filter(None, (cell(line) for line in _lines(data))))


def record(members: dict[str, Any]) -> str:
    """Write an object as a table of two columns."""
    return _rows(["Name", "Value"], [[name, value] for name, value in members.items()])


def cell(value: Any) -> str:
    """Write a value where it must not end its line or its cell; a number as it is."""
    if isinstance(value, int | float):  # whose point and sign would else be escaped
        return compact(value)
    lines = LINES.split(compact(value))
    return "<br>".join(_escaped(line) for line in lines).removesuffix("<br>")


def _escaped(text: str) -> str:
    return SIGNS.sub(r"\\\1", BLANKS.sub(" ", text)).strip()


def _lines(data: Any) -> list[Any]:
    return LINES.split(data) if isinstance(data, str) else [data]


def _table(rows: list[dict[str, Any]], wanted: list[str] | None) -> str:
    columns = columns_of(rows, wanted)
    return _rows(columns, [[row.get(name) for name in columns] for row in rows])


def _rows(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, *rows]
    texts = ["| " + " | ".join(map(cell, line)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + " --- |" * len(header), *texts[1:]])
