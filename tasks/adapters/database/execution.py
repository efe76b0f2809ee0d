"""Runs one statement in one transaction: connect, begin within limits, ask, gather, commit what may write.

Whatever goes wrong before the commit has changed nothing, and is told so. Where the connection breaks in the commit
itself, nobody knows, and that is told too.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from procos.domain.errors import TaskError, TransientError
from tasks.adapters.calling import outcome_unknown
from tasks.adapters.database import faults
from tasks.adapters.database.engines import dialect_of, engine_of, url_of
from tasks.adapters.database.gathering import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection as Session
    from sqlalchemy import TextClause

    from tasks.adapters.database.connection import DatabaseConnection
    from tasks.adapters.database.dialect import Dialect, Time
    from tasks.adapters.database.query import Rows


def executed(
    clause: TextClause,
    values: Mapping[str, Any],
    connection: DatabaseConnection,
    limit: Time,
    *,
    is_repeatable: bool,
) -> Rows:
    """Run a statement, and return its rows.

    Args:
        clause: the statement.
        values: what its parameters are.
        connection: where to, and within which limits.
        limit: how long it may take.
        is_repeatable: whether it may be tried again where nobody knows if it was committed.

    Raises:
        BusinessError: a constraint or a value stands against it.
        TransientError: the database is not there, busy, or too slow now; nothing was changed, or it may be repeated.
        PermanentError: the statement or the connection is wrong, or OUTCOME_UNKNOWN.
    """
    dialect = dialect_of(url_of(connection))
    with _session(dialect, connection, limit) as session:
        try:
            rows = _asked(session, clause, values, dialect=dialect, connection=connection, limit=limit)
        except _errors(dialect) as error:
            raise dialect.failed(_cause(error), connection, limit) from None
        if connection.writable:
            _commit(session, dialect, connection, limit, is_repeatable=is_repeatable)
        return rows


def _asked(
    session: Session,
    clause: TextClause,
    values: Mapping[str, Any],
    *,
    dialect: Dialect,
    connection: DatabaseConnection,
    limit: Time,
) -> Rows:
    options = {"stream_results": True} if dialect.streams(clause.text, connection) else {}
    try:
        with closing(session.execute(clause, dict(values), execution_options=options)) as result:
            return gathered(result, connection, check_time=limit.check)
    except RecursionError:  # of JSON that is deeper than Python reads
        raise faults.unreadable() from None


def _commit(
    session: Session, dialect: Dialect, connection: DatabaseConnection, limit: Time, *, is_repeatable: bool
) -> None:
    try:
        dialect.commit(session)
    except _errors(dialect) as error:
        cause = _cause(error)
        if dialect.is_undone(cause):
            raise dialect.failed(cause, connection, limit) from None
        text = "the connection broke while the statement was committed: it may have been, or not"
        if is_repeatable:
            raise TransientError(f"{text}, and may be repeated", code=faults.UNREACHABLE) from None
        raise outcome_unknown(text) from None


@contextmanager
def _session(dialect: Dialect, connection: DatabaseConnection, limit: Time) -> Iterator[Session]:
    """Begin a transaction; whatever has not been committed at the end is rolled back."""
    with ExitStack() as stack:
        try:
            session = _begun(dialect, connection, limit, stack)
        except TaskError:
            raise
        except _errors(dialect) as error:
            raise dialect.failed(_cause(error), connection, limit) from None
        yield session


def _begun(dialect: Dialect, connection: DatabaseConnection, limit: Time, stack: ExitStack) -> Session:
    """Begin, once more where a connection of the pool was dead: nothing was asked of it yet."""
    try:
        return _begun_once(dialect, connection, limit, stack)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    stack.close()
    return _begun_once(dialect, connection, limit, stack)


def _begun_once(dialect: Dialect, connection: DatabaseConnection, limit: Time, stack: ExitStack) -> Session:
    session = _connected(dialect, connection)
    # In the order of leaving: release, close, and only then nobody watches any more.
    stack.enter_context(dialect.watched(session, limit))
    stack.callback(session.close)
    stack.callback(dialect.release, session)
    limit.check()
    dialect.begin(session, connection, limit)
    return session


def _connected(dialect: Dialect, connection: DatabaseConnection) -> Session:
    url = url_of(connection)
    try:
        return engine_of(connection, url).connect()
    except PoolTimeoutError:
        text = f"all {connection.pool_size} connections of this process are in use; see pool_size"
        raise TransientError(text, code="POOL_BUSY") from None
    except _errors(dialect) as error:
        raise dialect.refused(_cause(error), url) from None


def _errors(dialect: Dialect) -> tuple[type[Exception], ...]:
    """Return what SQLAlchemy makes of the driver's errors, and those themselves."""
    return (DBAPIError, *dialect.errors)


def _cause(error: Exception) -> Any:
    return error.orig if isinstance(error, DBAPIError) else error
