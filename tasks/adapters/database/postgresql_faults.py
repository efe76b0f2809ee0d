"""PostgreSQL's errors by their code, as its manual lists them (appendix A, "PostgreSQL Error Codes")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.adapters.database import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.errors import TaskError
    from tasks.adapters.database.connection import DatabaseConnection

CONSTRAINTS: Mapping[str, str] = {
    "23001": "FOREIGN_KEY_VIOLATION",
    "23502": "NOT_NULL_VIOLATION",
    "23503": "FOREIGN_KEY_VIOLATION",
    "23505": "UNIQUE_VIOLATION",
    "23514": "CHECK_VIOLATION",
    "23P01": "EXCLUSION_VIOLATION",
}
PASSING: Mapping[str, str] = {
    "40001": "SERIALIZATION_FAILURE",
    "40P01": "DEADLOCK",
    "55P03": "LOCK_TIMEOUT",
}
ENDED = ("08", "57P", "25P")
"""Codes of what ends a connection: a server that is shut down or fails, an administrator, a limit of its own."""
OWN_TROUBLE = ("53", "58")
WRONG = ("0A", "25", "2D", "34", "42", "54")
NO_QUERY = {"42601", "0A000"}
ONLY_QUERIES = "a connection that only reads takes SELECT, VALUES, TABLE, and WITH that only reads"
DURING_COMMIT_UNDONE = ("22", "23", "25", "40", "42", "44", "53", "54", "55", "57014", "P0")
"""Answers that say of a COMMIT that it did not happen."""
NO_CODE: Mapping[str, str] = {
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role \"[^\"]*\" does not exist"
    r"|is not permitted to log in|pg_hba\.conf rejects|server requested SCRAM": faults.AUTH_FAILED,
    r"database \"[^\"]*\" does not exist": "DATABASE_MISSING",
    r"certificate verify failed|does not match host name|server does not support SSL|certificate file": "TLS_FAILED",
}
"""Words of refused connections, for which libpq tells no code. A server may say them in another language: then the
step is tried again, which does no harm, and its incident says what to look at."""
OF_OPERATOR: Mapping[str, str] = {
    faults.AUTH_FAILED: "the database refuses user or password of this connection",
    "DATABASE_MISSING": "the server has no database of the name this connection says",
    "TLS_FAILED": "no connection could be made under the rules of sslmode: see the certificates of server and client",
}


def refused(error: Any, place: str) -> TaskError:
    """Say why no connection came about."""
    code = getattr(error, "sqlstate", None) or ""
    if code.startswith("28"):
        return PermanentError(f"{OF_OPERATOR[faults.AUTH_FAILED]} ({place})", code=faults.AUTH_FAILED)
    for words, meaning in NO_CODE.items():
        if re.search(words, str(error)):
            return PermanentError(f"{OF_OPERATOR[meaning]} ({place})", code=meaning)
    return faults.unreachable(f"no connection to {place}; is it up, and does it let this user in?")


def failed(error: Any, connection: DatabaseConnection, *, seconds: float) -> TaskError:
    """Say what a statement failed of, and that nothing was changed."""
    code = getattr(error, "sqlstate", None)
    if code is None:
        return _without_code(error)
    if code == "57014":
        return faults.timed_out(seconds)
    return _passing(error, code) or _of_values(error, code) or _of_statement(error, code, connection)


def _passing(error: Any, code: str) -> TaskError | None:
    """Say what another try may not meet."""
    if code in PASSING:
        return TransientError(f"{_name(error)}: another transaction was in the way", code=PASSING[code])
    if code.startswith(ENDED):
        return faults.unreachable(f"it ended the connection ({_name(error)}); nothing was changed")
    if code.startswith(OWN_TROUBLE):
        return faults.unreachable(f"it has trouble of its own ({_name(error)}); nothing was changed")
    return None


def _of_values(error: Any, code: str) -> TaskError | None:
    """Say what a process may want to know: data stands against it."""
    match code[:2]:
        case "23":
            return BusinessError(CONSTRAINTS.get(code, "CONSTRAINT_VIOLATION"), f"{_name(error)}{_place(error)}")
        case "22":
            return BusinessError(faults.DATA_EXCEPTION, f"{_name(error)}: {faults.DOES_NOT_FIT}{_place(error)}")
        case "P0" if code == "P0001":
            return BusinessError("RAISED_EXCEPTION", f"a function or trigger refused it{_place(error)}")
    return None


def _of_statement(error: Any, code: str, connection: DatabaseConnection) -> TaskError:
    """Say what an operator must mend."""
    if code == "25006":
        return _read_only(connection)
    if code == "42501":
        return PermanentError(f"the user of this connection may not do this{_quoted(error)}", code=faults.DENIED)
    if code.startswith(WRONG):
        hint = "" if connection.writable or code not in NO_QUERY else f"; {ONLY_QUERIES}"
        return PermanentError(f"{_name(error)}{_quoted(error)}{hint}", code=faults.INVALID)
    return PermanentError(f"the database answered {_name(error)}", code=faults.OTHER)


def is_undone(error: Any) -> bool:
    """Whether a failed COMMIT is known not to have happened."""
    return str(getattr(error, "sqlstate", None) or "").startswith(DURING_COMMIT_UNDONE)


def _read_only(connection: DatabaseConnection) -> TaskError:
    if connection.writable:  # it may be a standby that is about to be told otherwise
        return TransientError("the database takes no writes now", code=faults.READ_ONLY)
    return PermanentError(faults.CURE_READ_ONLY, code=faults.READ_ONLY)


def _without_code(error: Any) -> TaskError:
    """Say what the driver complains of, or that there was no answer."""
    match type(error).__name__:
        case "OperationalError" | "InterfaceError":
            return faults.unreachable("the connection broke; nothing was changed")
        case "DataError":
            return faults.unreadable()
        case "ProgrammingError":
            text = "the driver refuses the statement: COPY and the like cannot be run"
            return PermanentError(text, code=faults.INVALID)
    return faults.unforeseen(error)


def _name(error: Any) -> str:
    """Return the name PostgreSQL gives to a code, as in unique_violation (23505)."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return f"{words} ({error.sqlstate})"


def _place(error: Any) -> str:
    found = error.diag
    named = [("constraint", found.constraint_name), ("table", found.table_name), ("column", found.column_name)]
    text = ", ".join(f"{what} {name}" for what, name in named if name)
    return f": {text}" if text else ""


def _quoted(error: Any) -> str:
    """Quote what the server says of the SQL itself; a function that complains may quote anything, and is not."""
    text = error.diag.message_primary or ""
    return "" if error.diag.context or not text else f": {text[: faults.LONGEST_QUOTE]}"
