"""SQLite: a file that is opened for each step, since that is cheap and leaves no locks behind.

A file that is only read is opened so (`mode=ro`), and told so (`query_only`). What SQL can reach beyond it is refused
by an authorizer (sqlite.org/c3ref/set_authorizer.html): other files, settings, extensions, and the transaction itself.
SQLite has no time limit; a look at the clock every so many steps of its machine stands in for one.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from procos.domain.errors import StepCancelled
from tasks.adapters.database import sqlite_faults
from tasks.adapters.database.faults import timed_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine
    from sqlalchemy import Connection as Session

    from procos.domain.errors import TaskError
    from tasks.adapters.database.connection import DatabaseConnection
    from tasks.adapters.database.dialect import Time

STEPS = 20_000
"""Of SQLite's machine between two looks at the clock: about a millisecond."""
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION}
NEVER = {
    sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA,
    sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT,
}  # fmt: skip
REFUSED_FUNCTIONS = {"load_extension", "fts3_tokenizer"}


class SQLite:
    """SQLite, as a `Dialect`."""

    def engine(self, url: URL, connection: DatabaseConnection) -> Engine:
        """Return an engine that opens the file anew each time."""
        path, mode = quote(str(url.database)), "rw" if connection.writable else "ro"

        def opened() -> sqlite3.Connection:
            driver = sqlite3.connect(
                f"file:{path}?mode={mode}",
                uri=True,
                timeout=connection.lock_timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _restrict(driver, connection)
            except sqlite3.Error:
                driver.close()
                raise
            return driver

        return create_engine("sqlite+pysqlite://", creator=opened, poolclass=NullPool, hide_parameters=True)

    def begin(self, session: Session, connection: DatabaseConnection, limit: Time) -> None:
        """Begin a transaction, in which SQL can reach nothing but the tables of this file."""
        driver = _driver(session)
        driver.execute(f"PRAGMA busy_timeout = {round(min(connection.lock_timeout, limit.left()) * 1000)}")
        driver.execute("BEGIN IMMEDIATE" if connection.writable else "BEGIN")
        writable = connection.writable

        def allows(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
            if action == sqlite3.SQLITE_FUNCTION and second in REFUSED_FUNCTIONS:
                return sqlite3.SQLITE_DENY
            if action in READING or (writable and action not in NEVER):
                return sqlite3.SQLITE_OK
            return sqlite3.SQLITE_DENY

        driver.set_authorizer(allows)

    @contextmanager
    def watched(self, session: Session, limit: Time) -> Iterator[None]:
        """Interrupt a statement that takes too long."""
        driver = _driver(session)
        driver.set_progress_handler(lambda: not limit.left(), STEPS)
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):  # closed by now
                driver.set_progress_handler(None, 0)

    def streams(self, sql: str, connection: DatabaseConnection) -> bool:  # noqa: ARG002  # as the others
        """Rows come one by one in any case."""
        return False

    def commit(self, session: Session) -> None:
        """Commit, which SQL of a step may not."""
        driver = _driver(session)
        driver.set_authorizer(None)
        driver.execute("COMMIT")

    def release(self, session: Session) -> None:
        """Let the transaction be rolled back, which SQL of a step may not do."""
        if not session.invalidated:
            _driver(session).set_authorizer(None)

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The driver's own errors; what is more than one statement was a warning once."""
        return (sqlite3.Error, sqlite3.Warning)

    def refused(self, error: Any, url: URL) -> TaskError:
        """Say why the file could not be opened."""
        return sqlite_faults.refused(error, Path(str(url.database)).name)

    def failed(self, error: Any, connection: DatabaseConnection, limit: Time) -> TaskError:
        """Say why a statement failed."""
        if sqlite_faults.is_interrupted(error):
            # What is raised in the look at the clock, by a signal, is lost there; what comes of it is not.
            return timed_out(limit.seconds) if not limit.left() else StepCancelled("the statement was interrupted")
        return sqlite_faults.failed(error, is_writable=connection.writable)

    def is_undone(self, error: Any) -> bool:
        """Whether a failed COMMIT has changed nothing: it is undone unless the disk itself failed."""
        return not sqlite_faults.is_of_disk(error)

    def version_query(self) -> str:
        """Return SQL that returns the version of the library."""
        return "SELECT 'SQLite ' || sqlite_version()"


def _restrict(driver: sqlite3.Connection, connection: DatabaseConnection) -> None:
    driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, connection.byte_limit)
    driver.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    driver.execute("PRAGMA trusted_schema = OFF")
    driver.execute("PRAGMA foreign_keys = ON" if connection.writable else "PRAGMA query_only = ON")


def _driver(session: Session) -> sqlite3.Connection:
    driver: Any = session.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101  # for the types
    return driver
