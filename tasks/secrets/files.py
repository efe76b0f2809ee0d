"""Reads one small file of a folder an operator has filled: a mounted secret, or a connection.

It is read anew at each use, so that what is rotated there counts at once. Kubernetes mounts a file as a link through
`..data`, and swaps that to another folder; links that lead out of the folder are not followed.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 64 * 1024
"""Bytes of a file."""
LASTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What no retry mends."""
TRIES = 3
"""Looks at a file that is there and gone: its folder was swapped for another just then."""


def text_in(folder: Path, name: str, *, code: str) -> str | None:
    """Return the text of a file; None where there is none. The name must be one, not a path.

    Raises:
        PermanentError: it is no plain file within the folder, too large, not UTF-8, or may not be read.
        TransientError: it cannot be read now; both carry the code, and tell nothing of what it holds.
    """
    try:
        return _text_or_none(folder, name)
    except ValueError as error:
        raise PermanentError(f"{name} in {folder} cannot be read: {error}", code=code) from None
    except OSError as error:
        text = f"{name} in {folder} cannot be read: {error.strerror or type(error).__name__}"
        raise (PermanentError if error.errno in LASTING else TransientError)(text, code=code) from None


def _text_or_none(folder: Path, name: str) -> str | None:
    for _ in range(TRIES):
        try:
            return _text_of(folder, name)
        except FileNotFoundError:
            continue
    return None


def _text_of(folder: Path, name: str) -> str:
    root = folder.resolve(strict=True)
    try:
        file = (root / name).resolve(strict=True)
    except RuntimeError:  # later versions of Python raise an OSError
        raise ValueError("it is a link to itself") from None
    if not file.is_relative_to(root):
        raise ValueError("it is a link that leads out of the folder")
    # Not blocking, since opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is no plain file")
    with os.fdopen(descriptor, "rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:  # whose words quote a byte
        raise ValueError("it is not UTF-8") from None
