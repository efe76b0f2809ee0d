"""The roots there are: the connection an operator writes down, and the folder or store it means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from procos.domain.errors import PermanentError
from tasks.adapters.adapter import Connection
from tasks.adapters.files.local import LocalRoot
from tasks.adapters.files.remote import RemoteRoot
from tasks.adapters.known import INVALID

if TYPE_CHECKING:
    from tasks.adapters.files.root import Root

LOCAL = {"file", "local"}
MIB = 1024 * 1024
MOST_LISTED = 10_000
"""Some 2 MB of JSON: more is no list a process looks through."""


def _parsed(given: object) -> object:
    try:
        return json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None


class FilesConnection(Connection):
    """A root, and what may be done there."""

    url: str = Field(pattern=r"^(/|[a-z][a-z0-9+.-]*://)")
    """A folder of the workers' hosts (`/srv/out`, `file:///srv/out`), or any address fsspec knows (`s3://bucket/out`)."""
    options: Annotated[dict[str, Any], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """What the driver of a store takes, as JSON; secrets by placeholder."""
    writable: bool = False
    """Whether files may be written, copied and, where that is asked for, replaced."""
    deletable: bool = False
    """Whether files may be deleted."""
    hidden: bool = False
    """Whether names may begin with a full stop: configuration of programs is written so, and some of it is run."""
    hard_links: bool = False
    """Whether files with several names are read; the others may be outside."""
    largest: int = Field(64 * MIB, ge=1)
    """Bytes of a file that is read or written."""
    most_entries: int = Field(1000, ge=1, le=MOST_LISTED)
    """Entries of a list."""


def root_of(connection: FilesConnection) -> Root:
    """Return the root of a connection; nothing is opened.

    Raises:
        PermanentError: CONNECTION_INVALID, where its address is none.
    """
    scheme, is_url, rest = connection.url.partition("://")
    folder = rest if is_url else connection.url
    if "::" in connection.url or "\0" in connection.url:
        raise PermanentError("url: is one address after another, which is not taken; expected one", code=INVALID)
    if is_url and scheme not in LOCAL:
        return RemoteRoot(connection.url, connection.options)
    if not folder.startswith("/"):
        raise PermanentError("url: expected the whole path of a folder, as in file:///srv/out", code=INVALID)
    return LocalRoot(folder, hard_links=connection.hard_links)
