"""Which SQL a step means: statements have names, and the operator writes them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from procos.domain.errors import MOST_SHOWN, PermanentError
from tasks.adapters.database.connection import is_name
from tasks.adapters.database.faults import INVALID
from tasks.secrets.files import text_in

if TYPE_CHECKING:
    from tasks.adapters.database.connection import DatabaseConnection
    from tasks.adapters.database.query import Query

SUFFIX = ".sql"
UNKNOWN, UNREADABLE, DENIED = "STATEMENT_UNKNOWN", "STATEMENT_UNREADABLE", "STATEMENT_DENIED"


def sql_of(query: Query, connection: DatabaseConnection) -> str:
    """Return the SQL of a query.

    Raises:
        PermanentError: no statement has this name, its file cannot be read, or SQL of a model's own is not allowed.
        TransientError: the folder of statements does not answer now.
    """
    if query.sql is not None:
        if not connection.free_statements:
            text = "this connection takes statements by name; its free_statements = true would allow SQL of a model"
            raise PermanentError(text, code=DENIED)
        return _not_blank(query.sql)
    return _not_blank(_named(query.statement or "", connection))


def _not_blank(sql: str) -> str:
    if not sql.strip():
        raise PermanentError("the statement is empty", code=INVALID)
    return sql


def _named(name: str, connection: DatabaseConnection) -> str:
    if not is_name(name):
        raise _unknown("", connection)
    if name in connection.statements:
        return connection.statements[name]
    folder = connection.statements_directory
    found = text_in(folder, name + SUFFIX, code=UNREADABLE) if folder else None
    if found is None:
        raise _unknown(name, connection)
    return found


def _unknown(name: str, connection: DatabaseConnection) -> PermanentError:
    """Say which there are; `name` is empty where it is no name, so that nobody's text is quoted."""
    folder = connection.statements_directory
    files = folder.glob(f"*{SUFFIX}") if folder else ()
    known = sorted({*connection.statements, *(file.stem for file in files if is_name(file.stem))})
    what = f"there is no statement {name!r}" if name else "what should name a statement is no name"
    shown = ", ".join(known[:MOST_SHOWN]) or "none"
    rest = f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return PermanentError(f"{what}; this connection has: {shown}{rest}{hint}", code=UNKNOWN)
