"""What PostgreSQL and SQLite have in common here: how each is opened, held to its limits, and understood."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tasks.adapters.database.faults import timed_out

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Engine
    from sqlalchemy import Connection as Session

    from procos.domain.errors import TaskError
    from tasks.adapters.adapter import Call
    from tasks.adapters.database.connection import DatabaseConnection


GRACE_SECONDS = 2.0
"""What the database gets beyond its limit to say that it has ended the statement, which it says better."""
FOR_STATEMENT, FOR_GRACE = 0.8, 0.1
"""Parts of what a call has left; the last tenth is for saying how it went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """How long one statement may take."""

    seconds: float
    until: float
    """A moment of the monotonic clock."""
    cut: float
    """The moment by which it is ended from here, should the database itself not answer."""

    @classmethod
    def of(cls, seconds: float, call: Call) -> Time:
        """Share out what a call has left, so that how it ended is known before its end."""
        remaining = call.remaining()
        seconds = min(seconds, remaining * FOR_STATEMENT)
        until = time.monotonic() + seconds
        return cls(seconds=seconds, until=until, cut=until + min(GRACE_SECONDS, remaining * FOR_GRACE))

    def left(self) -> float:
        """Seconds that are left; never negative."""
        return max(self.until - time.monotonic(), 0.0)

    def check(self) -> None:
        """Go on if there is time left.

        Raises:
            TransientError: STATEMENT_TIMEOUT.
        """
        if not self.left():
            raise timed_out(self.seconds)


class Dialect(Protocol):
    """One kind of database."""

    def engine(self, url: URL, connection: DatabaseConnection) -> Engine:
        """Return an engine whose connections only read, unless the connection says otherwise."""

    def begin(self, session: Session, connection: DatabaseConnection, limit: Time) -> None:
        """Begin a transaction that is held to the limits.

        Raises:
            PermanentError: its user may do more than is safe.
        """

    def watched(self, session: Session, limit: Time) -> AbstractContextManager[None]:
        """End what takes longer than its limit, whatever the server does."""

    def streams(self, sql: str, connection: DatabaseConnection) -> bool:
        """Whether the rows of a statement can come bit by bit."""

    def commit(self, session: Session) -> None:
        """Commit."""

    def release(self, session: Session) -> None:
        """Stop what is still under way, and let the transaction be rolled back."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The driver's own errors."""

    def refused(self, error: Any, url: URL) -> TaskError:
        """Say why no connection came about."""

    def failed(self, error: Any, connection: DatabaseConnection, limit: Time) -> TaskError:
        """Say why a statement failed; nothing was changed."""

    def is_undone(self, error: Any) -> bool:
        """Whether a failed COMMIT is known not to have happened."""

    def version_query(self) -> str:
        """Return SQL that returns the version of the database."""


def place_of(url: URL) -> str:
    """Return where a database is, without user and password."""
    return f"{url.host}:{url.port}/{url.database}" if url.host else str(url.database)
