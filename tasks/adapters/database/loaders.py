"""How values of PostgreSQL arrive: as the text the server wrote, where Python would lose a part of it.

A numeric keeps its digits, an interval its months, a moment may be infinite or before Christ; the session is told to
write ISO 8601 (`postgresql.SESSION`), so that little is left to do. Arrays load what they hold in the same way.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from psycopg import ServerCursor
from psycopg.adapt import Buffer, Loader
from psycopg.types.string import TextLoader

AS_TEXT = (
    "numeric", "date", "time", "timetz", "interval", "uuid", "inet", "cidr",
    "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange",
)  # fmt: skip
HEX = 2
"""Characters before the digits of bytes: \\x."""


class MomentLoader(Loader):
    """Loads a moment as ISO 8601: 2026-11-23 04:00:00+00 as 2026-11-23T04:00:00+00:00."""

    def load(self, data: Buffer) -> str:
        """Return its text."""
        text = bytes(data).decode().replace(" ", "T", 1)
        return f"{text}:00" if text.endswith("+00") else text


class BytesLoader(Loader):
    """Loads bytes as base64."""

    def load(self, data: Buffer) -> str:
        """Return their text."""
        return b64encode(bytes.fromhex(bytes(data)[HEX:].decode())).decode()


class QuietCursor(ServerCursor[Any]):
    """A cursor that complains of nothing where its connection broke: there was nobody left to close it."""

    def __del__(self, _warn: object = None) -> None:
        """Leave silently."""


def register(driver: Any) -> None:
    """Let one connection load values so."""
    driver.server_cursor_factory = QuietCursor
    for name in AS_TEXT:
        driver.adapters.register_loader(name, TextLoader)
    driver.adapters.register_loader("timestamp", MomentLoader)
    driver.adapters.register_loader("timestamptz", MomentLoader)
    driver.adapters.register_loader("bytea", BytesLoader)
