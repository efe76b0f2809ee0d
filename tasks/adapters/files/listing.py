"""Walks through folders, sorted, within bounds: links, special files and names no step could give are left out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError
from tasks.adapters.files.faults import ACCESS_DENIED, check_time
from tasks.adapters.files.paths import MOST_PARTS, fault_of
from tasks.adapters.files.root import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.adapters.adapter import Call
    from tasks.adapters.files.root import Parts, Root

MOST_LOOKED_AT = 100_000
"""Names in all folders of one listing: a second's work on a local disk."""


class Walk:
    """One listing; `entries` is what is found, and the rest says what is not in it."""

    def __init__(
        self, root: Root, call: Call, *, pattern: str | None = None, recursive: bool = False, depth: int = MOST_PARTS,
        hidden: bool = False,
    ) -> None:  # fmt: skip
        self._root, self._call, self._pattern, self._hidden = root, call, pattern, hidden
        self._depth = depth if recursive else 1
        self._looked_at, self.left_out, self.is_cut = 0, 0, False

    def entries(self, parts: Parts, *, most: int) -> Sequence[tuple[Parts, Entry]]:
        """Return what is in a folder, by name, each folder before what is in it; at most `most` entries.

        Raises:
            TransientError: TIMEOUT: in a store each folder is a request, and each may take its time.
        """
        found = list(islice(self._below(parts, self._depth), most + 1))
        self.is_cut = self.is_cut or len(found) > most
        return found[:most]

    def _below(self, parts: Parts, depth: int) -> Iterator[tuple[Parts, Entry]]:
        for each in sorted(self._children(parts), key=lambda each: each.name):
            path = (*parts, each.name)
            # The matcher of Python 3.11 looks ahead in place of going back, so no pattern takes long.
            if self._pattern is None or fnmatchcase(each.name, self._pattern):
                yield path, each
            if each.kind is Kind.FOLDER and depth > 1 and len(path) < MOST_PARTS and not self.is_cut:
                try:
                    yield from self._below(path, depth - 1)
                except (BusinessError, PermanentError) as error:  # it went, or may not be read
                    if isinstance(error, PermanentError) and error.code != ACCESS_DENIED:
                        raise
                    self.left_out += 1

    def _children(self, parts: Parts) -> Iterator[Entry]:
        check_time(self._call, "all folders were listed")
        for each in self._root.children(parts):
            check_time(self._call, "all names were listed")
            if self._looked_at == MOST_LOOKED_AT:
                self.is_cut = True
                return
            self._looked_at += 1
            if each.kind is Kind.OTHER or fault_of(each.name, hidden=self._hidden):
                self.left_out += 1
            else:
                yield each
