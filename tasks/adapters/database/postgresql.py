"""PostgreSQL through psycopg 3: what a statement may do is the server's to say, and it is told before.

- A connection that only reads begins its transactions READ ONLY, and every statement of it is the query of a cursor:
  the server takes nothing else there than SELECT, VALUES, TABLE and WITH. A query has run before, so that nothing can
  turn the transaction into one that writes ("SET TRANSACTION" in PostgreSQL's manual).
- A statement goes by the extended protocol, which takes one command ("Message Flow" there); psycopg uses the simple one
  for what has no parameters, unless it is prepared.
- The server ends what takes too long. Where it is the server that does not answer, the socket is shut from here.
- What a statement may have left in its session (locks, settings, temporary tables) is discarded before the next one.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text

from procos.domain.errors import PermanentError
from tasks.adapters.database import postgresql_faults
from tasks.adapters.database.dialect import GRACE_SECONDS, place_of
from tasks.adapters.database.faults import timed_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine
    from sqlalchemy import Connection as Session

    from procos.domain.errors import TaskError
    from tasks.adapters.database.connection import DatabaseConnection
    from tasks.adapters.database.dialect import Time

CANCEL_SECONDS = 1.0
QUERY = re.compile(r"\s*(?:SELECT|VALUES|TABLE)\b", re.IGNORECASE)
SESSION = {
    "TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "bytea_output": "hex",
    "cursor_tuple_fraction": "1",
}  # fmt: skip
"""How values are written, and that all rows of a cursor will be wanted."""
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
PREPARED = text(
    "SELECT "
    + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SESSION.items())
    + "".join(f", set_config('{name}', :{name}, true)" for name in LIMITS)
)
POWERS = text(
    "SELECT rolsuper OR EXISTS (SELECT FROM pg_roles AS power WHERE power.rolname IN ('pg_execute_server_program', "
    "'pg_read_server_files', 'pg_write_server_files') AND pg_has_role(power.oid, 'MEMBER')) "
    "FROM pg_roles WHERE rolname = session_user"
)
DISCARD = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    "DISCARD TEMP; DISCARD SEQUENCES"
)
"""What DISCARD ALL does, but for the statements that psycopg has prepared, and counts on."""
TOO_POWERFUL = "CONNECTION_TOO_POWERFUL"


class PostgreSQL:
    """PostgreSQL, as a `Dialect`."""

    def engine(self, url: URL, connection: DatabaseConnection) -> Engine:
        """Return an engine with a small pool of its own."""
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=connection.pool_size,
            max_overflow=0,
            pool_timeout=connection.connect_timeout,
            pool_recycle=connection.pool_recycle,
            pool_reset_on_return=None,
            hide_parameters=True,
            connect_args={
                "connect_timeout": round(connection.connect_timeout),
                "prepare_threshold": 0,
                "client_encoding": "UTF8",
                "application_name": "procos",
                "tcp_user_timeout": round(connection.connect_timeout * 1000),
            },
        )

        @event.listens_for(engine, "connect")
        def _connected(driver: Any, _: object) -> None:
            from tasks.adapters.database.loaders import register

            register(driver)
            driver.read_only = not connection.writable

        @event.listens_for(engine, "reset")
        def _returned(driver: Any, _: object, state: Any) -> None:
            driver.rollback()
            if not state.terminate_only:
                driver.autocommit = True
                driver.execute(DISCARD, prepare=False)
                driver.autocommit = False

        return engine

    def begin(self, session: Session, connection: DatabaseConnection, limit: Time) -> None:
        """Begin a transaction, with the limits as the server counts them: in milliseconds."""
        lock = min(connection.lock_timeout, limit.left())
        values = dict(zip(LIMITS, (limit.left(), lock, limit.left() + GRACE_SECONDS), strict=True))
        session.execute(PREPARED, {name: str(max(round(seconds * 1000), 1)) for name, seconds in values.items()})
        if connection.free_statements and not session.info.get("is_harmless"):
            if session.execute(POWERS).scalar():
                raise PermanentError(
                    "the user of this connection may read files of the server or run programs there; "
                    "with free_statements = true it must be one that may not",
                    code=TOO_POWERFUL,
                )
            session.info["is_harmless"] = True

    @contextmanager
    def watched(self, session: Session, limit: Time) -> Iterator[None]:
        """Shut the socket of a connection whose server has not ended a statement in time."""
        driver: Any = session.connection.driver_connection
        # A second name for the same socket: the first may be given to another one meanwhile.
        with socket.fromfd(driver.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as ours:
            timer = threading.Timer(max(limit.cut - time.monotonic(), 0.0), _shut, [ours])
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()

    def streams(self, sql: str, connection: DatabaseConnection) -> bool:
        """Whether it is the query of a cursor: always, where it must not be anything else."""
        return not connection.writable or QUERY.match(sql) is not None

    def commit(self, session: Session) -> None:
        """Commit."""
        session.commit()

    def release(self, session: Session) -> None:
        """Have the server stop, and hang up: what the connection is in the middle of is of no use to another step."""
        if session.invalidated or session.closed:
            return
        driver: Any = session.connection.driver_connection
        if driver.info.transaction_status.name not in {"IDLE", "INTRANS", "INERROR"}:
            with suppress(Exception):
                driver.cancel_safe(timeout=CANCEL_SECONDS)
            session.invalidate()

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The driver's own errors."""
        from psycopg import Error

        return (Error,)

    def refused(self, error: Any, url: URL) -> TaskError:
        """Say why no connection came about."""
        return postgresql_faults.refused(error, place_of(url))

    def failed(self, error: Any, connection: DatabaseConnection, limit: Time) -> TaskError:
        """Say why a statement failed."""
        if getattr(error, "sqlstate", None) is None and not limit.left():
            return timed_out(limit.seconds)  # the socket was shut
        return postgresql_faults.failed(error, connection, seconds=limit.seconds)

    def is_undone(self, error: Any) -> bool:
        """Whether the server said that it did not commit."""
        return postgresql_faults.is_undone(error)

    def version_query(self) -> str:
        """Return SQL that returns the version of the server."""
        return "SELECT 'PostgreSQL ' || current_setting('server_version')"


def _shut(ours: socket.socket) -> None:
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
