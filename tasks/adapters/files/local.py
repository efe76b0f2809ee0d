"""A root that is a folder of this host: no link is followed on the way, whoever puts one there and whenever.

A path is not checked and then opened, since it may be another one by then. It is walked: each folder is opened from the
one above it by its name alone and never through a link (openat with O_NOFOLLOW, as RESOLVE_NO_SYMLINKS of openat2
would), and what is done is done in the folder that is open. The root's own path may have links: it is the operator's.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from procos.domain.errors import TransientError
from tasks.adapters.files.draft import Draft
from tasks.adapters.files.faults import UNREACHABLE, business, translated
from tasks.adapters.files.paths import denied
from tasks.adapters.files.root import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from procos.domain.errors import BusinessError
    from tasks.adapters.files.root import Parts

ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FOLDER = ROOT | os.O_NOFOLLOW
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""A pipe that was put in a file's place is opened without waiting for its other end, and then refused."""
NO_ORDINARY_FILE = "is no ordinary file: a link, a pipe, a socket or a device"


class LocalRoot:
    """A folder; nothing is kept open between two calls."""

    def __init__(self, folder: str, *, hard_links: bool = False) -> None:
        self.shown, self._path, self._hard_links = folder, folder, hard_links

    def look(self, parts: Parts) -> Entry | None:
        """Return what is there, a link as what it is; below a folder that is not there is nothing."""
        with translated(self.shown):
            try:
                with self._folder(parts[:-1]) as folder:
                    name = parts[-1] if parts else "."
                    return _entry(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
            except FileNotFoundError:
                return None

    def children(self, parts: Parts) -> Iterator[Entry]:
        """Return what is in a folder; what goes while it is read is left out."""
        with translated(self.shown), self._folder(parts) as folder, os.scandir(folder) as found:
            for each in found:
                with suppress(FileNotFoundError):
                    yield _entry(each.name, each.stat(follow_symlinks=False))

    @contextmanager
    def opened(self, parts: Parts) -> Iterator[tuple[BinaryIO, Entry]]:
        """Open an ordinary file for reading; at the end it is made sure that nobody wrote to it meanwhile.

        Raises:
            TransientError: FILES_UNREACHABLE, somebody is writing to it.
        """
        with translated(self.shown):
            with self._folder(parts[:-1]) as folder:
                self._check_readable(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
                descriptor = os.open(parts[-1], FILE, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as stream:
                before = os.fstat(descriptor)
                self._check_readable(before)
                yield stream, _entry(parts[-1], before)
                after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise TransientError("path: the file was written to while it was read", code=UNREACHABLE)

    def write(self, parts: Parts, pieces: Iterable[bytes], *, replace: bool) -> None:
        """Write a file, and the folders above it where they are missing."""
        with translated(self.shown), self._folder(parts[:-1], create=True) as folder, Draft(folder) as draft:
            for piece in pieces:
                draft.write(piece)
            with suppress(FileNotFoundError):
                _check_ordinary(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            draft.settle(parts[-1], replace=replace)

    def delete(self, parts: Parts) -> bool:
        """Remove a file; False if there was none."""
        with translated(self.shown):
            try:
                with self._folder(parts[:-1]) as folder:
                    _check_ordinary(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
                    os.unlink(parts[-1], dir_fd=folder)
                    os.fsync(folder)
            except FileNotFoundError:
                return False
            return True

    def probe(self, *, write: bool) -> None:
        """Look whether the folder is there; a file that is tried out never gets a name."""
        with translated(self.shown), self._folder(()) as folder:
            if write:
                with Draft(folder) as draft:
                    draft.write(b"probe")

    @contextmanager
    def _folder(self, parts: Parts, *, create: bool = False) -> Iterator[int]:
        """Open a folder from the root on, one name at a time.

        Raises:
            TransientError: the root is not there, as a share that is not mounted.
        """
        try:
            at = os.open(self._path, ROOT)
        except (FileNotFoundError, NotADirectoryError) as error:
            text = f"{self.shown}: the root of the connection is not there, or no folder; make or mount it"
            raise TransientError(text, code=UNREACHABLE) from error
        try:
            for name in parts:
                below = _below(at, name, create=create)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def _check_readable(self, found: os.stat_result) -> None:
        _check_ordinary(found)
        if found.st_nlink > 1 and not self._hard_links:
            raise denied("is a file of several names, of which others may be elsewhere; see `hard_links`")


def _below(at: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=at)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise _no_folder(at, name) from error
        raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=at)
        os.fsync(at)
    return _below(at, name, create=False)


def _no_folder(at: int, name: str) -> BusinessError:
    """Say what is in a folder's place; the words alone depend on what is there by now."""
    with suppress(OSError):
        if stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            return business(errno.ENOTDIR)
    return denied("leads over a link or a special file, which is not followed")


def _check_ordinary(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise business(errno.EISDIR)
    if not stat.S_ISREG(found.st_mode):
        raise denied(NO_ORDINARY_FILE)


def _entry(name: str, found: os.stat_result) -> Entry:
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    if stat.S_ISDIR(found.st_mode):
        return Entry(name=name, kind=Kind.FOLDER, modified=modified)
    kind = Kind.FILE if stat.S_ISREG(found.st_mode) else Kind.OTHER
    return Entry(name=name, kind=kind, size=found.st_size, modified=modified)
