"""The engines of this process, one for each database: a pool of connections is dear to make, and is not inherited.

A child of a prefork worker never uses what its parent opened: two processes that speak through one socket mix up their
answers. So an engine is kept under the id of the process that made it.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from procos.domain.errors import PermanentError
from tasks.adapters.database.postgresql import PostgreSQL
from tasks.adapters.database.sqlite import SQLite
from tasks.secrets.connections import INVALID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from tasks.adapters.database.connection import DatabaseConnection
    from tasks.adapters.database.dialect import Dialect

MOST_ENGINES = 16
"""In one process; the one that was used least lately is let go of, as after a password was changed."""
DIALECTS: Mapping[str, Dialect] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}
DRIVERS = {"postgresql": "postgresql", "postgresql+psycopg": "postgresql", "sqlite": "sqlite"}

_engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
_lock = threading.Lock()


def url_of(connection: DatabaseConnection) -> URL:
    """Return where the database is.

    Raises:
        PermanentError: CONNECTION_INVALID, where the address is none, or that of a file it does not name.
    """
    url = _url(connection)
    if url.drivername not in DRIVERS:
        raise PermanentError("url: expected postgresql:// or sqlite:///", code=INVALID)
    if DRIVERS[url.drivername] == "sqlite" and not str(url.database or "").startswith("/"):
        raise PermanentError("the file of a SQLite database is given by its whole path", code=INVALID)
    return url


def dialect_of(url: URL) -> Dialect:
    """Return how the database is spoken to."""
    return DIALECTS[DRIVERS[url.drivername]]


def engine_of(connection: DatabaseConnection, url: URL) -> Engine:
    """Return the engine of this process for a database.

    Raises:
        PermanentError: DRIVER_MISSING.
    """
    key = (os.getpid(), *connection.identity())
    with _lock:
        if key not in _engines:
            _engines[key] = _made(connection, url)
        _engines.move_to_end(key)
        mine = [each for each in _engines if each[0] == key[0]]
        if len(mine) > MOST_ENGINES:
            _engines.pop(mine[0]).dispose()
        return _engines[key]


def _made(connection: DatabaseConnection, url: URL) -> Engine:
    try:
        return dialect_of(url).engine(url, connection)
    except ImportError:
        text = "the driver psycopg is not installed; the extra postgresql of procos brings it"
        raise PermanentError(text, code="DRIVER_MISSING") from None


def _url(connection: DatabaseConnection) -> URL:
    try:
        if connection.url is not None:
            return make_url(connection.url.get_secret_value())
        if connection.dialect == "sqlite":
            return URL.create("sqlite", database=connection.database)
        return URL.create(
            "postgresql",
            username=connection.user,
            password=connection.password.get_secret_value() if connection.password else None,
            host=connection.host,
            port=connection.port,
            database=connection.database,
            query={"sslmode": connection.sslmode},
        )
    except (ArgumentError, ValueError):
        raise PermanentError("url: is no address of a database", code=INVALID) from None
