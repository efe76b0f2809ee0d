"""SQLite's errors by their names (sqlite.org/rescode.html)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.adapters.database import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.errors import TaskError

CONSTRAINTS: Mapping[str, str] = {
    "SQLITE_CONSTRAINT_CHECK": "CHECK_VIOLATION",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "FOREIGN_KEY_VIOLATION",
    "SQLITE_CONSTRAINT_NOTNULL": "NOT_NULL_VIOLATION",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "UNIQUE_VIOLATION",
    "SQLITE_CONSTRAINT_ROWID": "UNIQUE_VIOLATION",
    "SQLITE_CONSTRAINT_UNIQUE": "UNIQUE_VIOLATION",
    "SQLITE_CONSTRAINT_TRIGGER": "RAISED_EXCEPTION",
    "SQLITE_CONSTRAINT_DATATYPE": faults.DATA_EXCEPTION,
}
NAMES_ONLY = re.compile(
    r"no such (table|column|function|collation sequence): [\w.]+|near \"[^\"]*\": syntax error|incomplete input"
    r"|ambiguous column name: [\w.]+|table \w+ has \d+ columns.*|wrong number of arguments to function \w+\(\)"
    r"|cannot VACUUM from within a transaction|table sqlite_\w+ may not be modified"
    r"|(UNIQUE|NOT NULL) constraint failed: [\w., ]+"
)
"""Messages that quote what the SQL and the tables say, and nothing that was bound."""
OF_VALUES = re.compile(r"integer overflow|malformed JSON|bad JSON path|JSON path error")
OF_DISK = ("SQLITE_IOERR", "SQLITE_FULL")
ONE_STATEMENT = "one statement at a time"


def refused(error: Any, name: str) -> TaskError:
    """Say why a file could not be opened."""
    if _name(error).startswith("SQLITE_CANTOPEN"):
        text = f"the file {name} cannot be opened: it is not there, or this worker's user may not"
        return PermanentError(text, code="DATABASE_MISSING")
    return failed(error, is_writable=False)


def failed(error: Any, *, is_writable: bool) -> TaskError:
    """Say what a statement failed of, and that nothing was changed."""
    name = _name(error)
    if str(error).startswith("not authorized"):  # which comes under more than one code
        text = "SQL of a step may not reach other files, settings, extensions, or the transaction"
        cure = "" if is_writable else f"; {faults.CURE_READ_ONLY}"
        return PermanentError(f"the statement is refused: {text}{cure}", code=faults.DENIED)
    match name.split("_")[1] if "_" in name else "":
        case "CONSTRAINT":
            return BusinessError(CONSTRAINTS.get(name, "CONSTRAINT_VIOLATION"), f"{name}{_quoted(error)}")
        case "BUSY" | "LOCKED" | "PROTOCOL":
            return TransientError(f"another program holds the file ({name})", code="LOCK_TIMEOUT")
        case "READONLY":
            cure = "this worker's user may not write the file" if is_writable else faults.CURE_READ_ONLY
            return PermanentError(cure, code=faults.READ_ONLY)
        case "MISMATCH" | "RANGE":
            return BusinessError(faults.DATA_EXCEPTION, f"{name}: {faults.DOES_NOT_FIT}")
        case "TOOBIG":
            return PermanentError("a value is larger than byte_limit of this connection", code="RESULT_TOO_LARGE")
        case "NOTADB" | "CORRUPT":
            return PermanentError(f"the file is damaged, or no database ({name})", code="DATABASE_DAMAGED")
        case "IOERR" | "FULL" | "NOMEM" | "CANTOPEN":
            return faults.unreachable(f"the file cannot be used now ({name}); nothing was changed")
        case "ERROR":
            return _of_statement(error)
    return _without_code(error)


def is_interrupted(error: Any) -> bool:
    """Whether the statement was stopped from here."""
    return _name(error) == "SQLITE_INTERRUPT"


def is_of_disk(error: Any) -> bool:
    """Whether the disk failed."""
    return _name(error).startswith(OF_DISK)


def _of_statement(error: Any) -> TaskError:
    if OF_VALUES.match(str(error)):
        return BusinessError(faults.DATA_EXCEPTION, faults.DOES_NOT_FIT)
    return PermanentError(f"the statement is wrong{_quoted(error)}", code=faults.INVALID)


def _without_code(error: Any) -> TaskError:
    text = str(error)
    if ONE_STATEMENT in text:
        return PermanentError("expected one statement", code=faults.INVALID)
    if text.startswith("Could not decode"):
        return faults.unreadable()
    return faults.unforeseen(error)


def _name(error: Any) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


def _quoted(error: Any) -> str:
    text = str(error)
    return f": {text[: faults.LONGEST_QUOTE]}" if NAMES_ONLY.fullmatch(text) else ""
