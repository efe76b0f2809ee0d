"""What a root is, a folder of this host or a place in a store: the few things that differ between them.

Paths come as names that `paths` has passed. What comes back is what was there at that moment, never what a link leads
to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

Parts = tuple[str, ...]
CHUNK = 1024 * 1024
"""Bytes that are in memory at a time."""


class Kind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    """A link, a pipe, a socket, a device: nothing a step may touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, a folder, or something else, under its name."""

    name: str
    kind: Kind
    size: int = 0
    modified: datetime | None = None


class Root(Protocol):
    """A folder or store; every method may raise what `faults` has."""

    shown: str
    """Where it is, as people may see it."""

    def look(self, parts: Parts) -> Entry | None:
        """Return what is there, None for nothing."""

    def children(self, parts: Parts) -> Iterator[Entry]:
        """Return what is in a folder, in no order."""

    def opened(self, parts: Parts) -> AbstractContextManager[tuple[BinaryIO, Entry]]:
        """Open an ordinary file for reading."""

    def write(self, parts: Parts, pieces: Iterable[bytes], *, replace: bool) -> None:
        """Write a file that is there when it is whole; without `replace` only where nothing is, after all is read."""

    def delete(self, parts: Parts) -> bool:
        """Remove a file; False if there was none."""

    def probe(self, *, write: bool) -> None:
        """Look whether it is there, and, if so asked, whether something can be written there."""
