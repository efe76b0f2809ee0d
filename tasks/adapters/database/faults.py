"""What goes wrong with a database, as one of the errors a task may raise; the words of drivers stay here.

A driver's message may quote the values that were bound, so it is told by its code instead; what a message may name is
what the operator wrote: tables, columns, constraints, and the SQL itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from procos.domain.errors import TaskError

INVALID, DENIED, READ_ONLY = "STATEMENT_INVALID", "PERMISSION_DENIED", "READ_ONLY"
AUTH_FAILED, UNREACHABLE, TIMEOUT = "AUTH_FAILED", "DATABASE_UNREACHABLE", "STATEMENT_TIMEOUT"
DATA_EXCEPTION, UNREADABLE, OTHER = "DATA_EXCEPTION", "VALUE_UNREADABLE", "DATABASE_ERROR"
LONGEST_QUOTE = 300

DOES_NOT_FIT = "the statement cannot do this with a value it was given or has found"
CURE_READ_ONLY = "this connection only reads; writable = true would let it write"
CURE_UNREADABLE = "a value cannot be read, such as JSON that is very deep; cast the column to text"


def timed_out(seconds: float) -> TransientError:
    """Say that a statement took too long, and that nothing of it is left."""
    text = f"the statement was stopped: it took longer than {seconds:.3g} s, or an administrator cancelled it"
    return TransientError(f"{text}; nothing was changed", code=TIMEOUT)


def unreachable(reason: str) -> TransientError:
    """Say that there is no way to the database now, and that nothing was done."""
    return TransientError(f"the database cannot be reached: {reason}", code=UNREACHABLE)


def unreadable() -> PermanentError:
    """Say that a value of the database has no place in this program."""
    return PermanentError(CURE_UNREADABLE, code=UNREADABLE)


def unforeseen(error: Any) -> TaskError:
    """Say what came that no code tells of, by its class."""
    return PermanentError(f"the database library raised {type(error).__name__}", code=OTHER)
