"""A file on its way into a folder: nobody sees it before it is whole and on the disk.

Where the file system can (O_TMPFILE: ext4, XFS, Btrfs, tmpfs), it has no name until then, so that nothing is left of a
write that was cut off. Elsewhere (NFS, FUSE) it has one that no step can give.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from procos.domain.errors import PermanentError
from tasks.adapters.files.faults import UNSUITABLE

if TYPE_CHECKING:
    from types import TracebackType

WRITE = os.O_WRONLY | os.O_CLOEXEC
NAMED = WRITE | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
UNNAMED = WRITE | getattr(os, "O_TMPFILE", 0)
OPEN_FILES = Path("/proc/self/fd")
MODE = 0o666
"""Of a new file, less the account's umask."""
NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""How a file system says that files without a name are unknown to it (open(2))."""
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class Draft:
    """An open file in a folder that is open; use it in a `with`, after which it is gone or settled."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._name: str | None = None
        descriptor = _unnamed(folder)
        if descriptor is None:
            self._name = _part()
            descriptor = os.open(self._name, NAMED, MODE, dir_fd=folder)
        self._stream = os.fdopen(descriptor, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # of what is thrown away, or is on the disk already
            self._stream.close()
        if self._name is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder)

    def write(self, piece: bytes) -> None:
        """Add to it."""
        self._stream.write(piece)

    def settle(self, name: str, *, replace: bool) -> None:
        """Bring it to the disk, and give it its name at one stroke.

        Raises:
            FileExistsError: there is something of that name, and it is not to be replaced.
            PermanentError: FILES_UNSUITABLE, where the file system has no way to tell.
        """
        self._stream.flush()
        os.fsync(self._stream.fileno())
        if replace:
            if self._name is None:
                part = _part()
                self._link(part)
                self._name = part
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._name = None
        else:
            self._link(name)
        os.fsync(self._folder)

    def _link(self, name: str) -> None:
        try:
            if self._name is None:
                os.link(OPEN_FILES / str(self._stream.fileno()), name, dst_dir_fd=self._folder, follow_symlinks=True)
            else:
                os.link(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            text = "the file system cannot tell whether a file is there before it is written; use overwrite: replace"
            raise PermanentError(text, code=UNSUITABLE) from error


def _part() -> str:
    return f".procos-{uuid.uuid4().hex}.part"


def _unnamed(folder: int) -> int | None:
    if UNNAMED == WRITE or not OPEN_FILES.is_dir():
        return None
    try:
        return os.open(".", UNNAMED, MODE, dir_fd=folder)
    except OSError as error:
        if error.errno not in NO_UNNAMED:
            raise
        return None
