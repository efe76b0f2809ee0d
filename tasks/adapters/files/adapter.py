"""Files in a root that an operator has named: a folder of the workers' hosts, or a place in a store.

    PROCOS_CONNECTIONS__OUTBOX__TYPE=files
    PROCOS_CONNECTIONS__OUTBOX__URL=file:///srv/outbox
    PROCOS_CONNECTIONS__OUTBOX__WRITABLE=true

No operation leaves the root, see `paths` and `local`. All may be done twice: what is written again is the same file.
"""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, ProcosError
from tasks.adapters.adapter import Adapter, Call, Health, operation
from tasks.adapters.files.content import Measured, kept, too_large, written
from tasks.adapters.files.faults import ALREADY_EXISTS, business, check_time
from tasks.adapters.files.listing import Walk
from tasks.adapters.files.operations import (
    Checksum,
    Content,
    Copy,
    Deleted,
    Found,
    List,
    Listed,
    ListedEntry,
    Read,
    Where,
    Write,
    Written,
)
from tasks.adapters.files.paths import denied, parts_of
from tasks.adapters.files.root import CHUNK, Kind
from tasks.adapters.files.roots import FilesConnection, root_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from tasks.adapters.files.operations import Overwrite
    from tasks.adapters.files.root import Entry, Parts
    from tasks.blobs import StepBlobs

NOT_ALLOWED = "FILES_NOT_ALLOWED"


class Files(Adapter):
    """A root, and what may be done there."""

    name = "files"
    connection = FilesConnection

    def __init__(self, connection: FilesConnection, *, blobs: StepBlobs | None = None) -> None:
        """Take the connection; nothing is opened."""
        super().__init__(connection, blobs=blobs)
        self._limits, self._root = connection, root_of(connection)

    @operation(repeatable=True)
    def read(self, wanted: Read, call: Call) -> Content:
        """Read a file as text, JSON, or a blob."""
        parts = self._parts(wanted.path)
        with self._opened(parts) as (stream, found):
            passed = self._measured(_pieces(stream), call)
            pieces = iter(passed)
            content, media_type = kept(pieces, parts[-1], wanted.read_as, wanted.encoding, self._blobs)
        return Content(
            content=content, size=passed.size, sha256=passed.sha256, media_type=media_type, modified=found.modified
        )

    @operation(repeatable=True)
    def write(self, wanted: Write, call: Call) -> Written:
        """Write a file; it is there when it is whole."""
        self._check(self._limits.writable, "writable")
        parts = self._parts(wanted.path)
        pieces = written(wanted.content, wanted.document, wanted.encoding, self._blobs)
        return self._written(parts, pieces, wanted.overwrite, call)

    @operation(repeatable=True)
    def copy(self, wanted: Copy, call: Call) -> Written:
        """Copy a file to another path of the same root."""
        self._check(self._limits.writable, "writable")
        source, target = self._parts(wanted.path), self._parts(wanted.target, field="target")
        with self._opened(source) as (stream, _):
            return self._written(target, _pieces(stream), wanted.overwrite, call)

    @operation(repeatable=True)
    def checksum(self, wanted: Where, call: Call) -> Checksum:
        """Say how large a file is, and its SHA-256."""
        with self._opened(self._parts(wanted.path)) as (stream, _):
            passed = self._drained(stream, call)
        return Checksum(size=passed.size, sha256=passed.sha256)

    @operation(repeatable=True)
    def stat(self, wanted: Where, call: Call) -> Found:
        """Say whether there is a file or folder, and how large and old it is."""
        check_time(call, "the root was asked")
        found = self._root.look(self._parts(wanted.path))
        if found is None:
            return Found(exists=False)
        if found.kind is Kind.OTHER:
            raise denied("is no ordinary file: a link, a pipe, a socket or a device")
        return Found(exists=True, is_folder=found.kind is Kind.FOLDER, size=found.size, modified=found.modified)

    @operation(repeatable=True)
    def delete(self, wanted: Where, call: Call) -> Deleted:
        """Delete a file, if there is one."""
        check_time(call, "the root was asked")
        self._check(self._limits.deletable, "deletable")
        return Deleted(deleted=self._root.delete(self._parts(wanted.path)))

    @operation(repeatable=True)
    def list(self, wanted: List, call: Call) -> Listed:
        """List a folder, by name."""
        check_time(call, "the root was asked")
        parts = self._parts(wanted.path) if wanted.path else ()
        found = self._root.look(parts)
        if found is None:
            raise business(errno.ENOENT)
        if found.kind is Kind.FILE:
            raise business(errno.ENOTDIR)
        walk = Walk(
            self._root, call, pattern=wanted.pattern, recursive=wanted.recursive, depth=wanted.depth,
            hidden=self._limits.hidden,
        )  # fmt: skip
        entries = walk.entries(parts, most=self._limits.most_entries)
        return Listed(
            entries=[_listed(path, each) for path, each in entries], truncated=walk.is_cut, left_out=walk.left_out
        )

    def health_check(self) -> Health:
        """Look whether the root is there, and can be written to where it should be."""
        began = time.monotonic()
        try:
            self._root.probe(write=self._limits.writable)
        except ProcosError as error:
            return Health(is_well=False, detail=str(error), seconds=time.monotonic() - began)
        rights = "writable" if self._limits.writable else "read only"
        return Health(is_well=True, detail=f"{self._root.shown}, {rights}", seconds=time.monotonic() - began)

    def _written(self, parts: Parts, pieces: Iterable[bytes], overwrite: Overwrite, call: Call) -> Written:
        """Write a file. The same content again is the same file, so that a step may run twice."""
        passed, there = self._measured(pieces, call), False
        try:
            self._root.write(parts, passed, replace=overwrite == "replace")
        except BusinessError as error:
            if error.code != ALREADY_EXISTS or not self._holds(parts, passed, call):
                raise
            there = True
        return Written(size=passed.size, sha256=passed.sha256, already_there=there)

    def _holds(self, parts: Parts, written: Measured, call: Call) -> bool:
        with self._root.opened(parts) as (stream, found):
            if found.size != written.size:
                return False
            passed = self._drained(stream, call)
        return passed.sha256 == written.sha256

    @contextmanager
    def _opened(self, parts: Parts) -> Iterator[tuple[BinaryIO, Entry]]:
        with self._root.opened(parts) as (stream, found):
            if found.size > self._limits.largest:
                raise too_large(self._limits.largest)
            yield stream, found

    def _drained(self, stream: BinaryIO, call: Call) -> Measured:
        passed = self._measured(_pieces(stream), call)
        for _piece in passed:
            pass
        return passed

    def _parts(self, path: str, *, field: str = "path") -> Parts:
        return parts_of(path, hidden=self._limits.hidden, field=field)

    def _measured(self, pieces: Iterable[bytes], call: Call) -> Measured:
        return Measured(pieces, largest=self._limits.largest, call=call)

    def _check(self, is_allowed: bool, right: str) -> None:  # noqa: FBT001  # read with the name of the right
        if not is_allowed:
            raise PermanentError(f"{self._root.shown}: the connection is not {right}", code=NOT_ALLOWED)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.read, CHUNK), b"")


def _listed(path: Parts, entry: Entry) -> ListedEntry:
    return ListedEntry(
        name=entry.name,
        path="/".join(path),
        size=entry.size,
        modified=entry.modified,
        is_folder=entry.kind is Kind.FOLDER,
    )
