"""What errors of file systems mean for a step: one table. The words of drivers are not repeated: they hold addresses.

Whoever waits can mend a full disk or a share that is away; a model can catch what is about a path; rights and read-only
file systems are an operator's. What a pool raises in a task from outside, such as a time limit, is none of these.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, ProcosError, TransientError
from tasks.adapters.files.paths import denied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.adapters.adapter import Call

NOT_FOUND, ALREADY_EXISTS, TOO_LARGE = "NOT_FOUND", "ALREADY_EXISTS", "TOO_LARGE"
IS_A_FOLDER, NOT_A_FOLDER = "IS_A_FOLDER", "NOT_A_FOLDER"
ACCESS_DENIED, UNREACHABLE, FULL = "ACCESS_DENIED", "FILES_UNREACHABLE", "DISK_FULL"
UNSUITABLE = "FILES_UNSUITABLE"

BUSINESS: Mapping[int, tuple[str, str]] = {
    errno.ENOENT: (NOT_FOUND, "path: there is no such file or folder"),
    errno.EEXIST: (ALREADY_EXISTS, "path: there is something already, and it is not to be overwritten"),
    errno.EISDIR: (IS_A_FOLDER, "path: is a folder"),
    errno.ENOTDIR: (NOT_A_FOLDER, "path: a part of it is a file, where a folder should be"),
    errno.EFBIG: (TOO_LARGE, "content: is larger than the file system takes"),
}
DENIED: Mapping[int, str] = {
    errno.ELOOP: "leads over a link, which is not followed",
    errno.ENAMETOOLONG: "is too long for the file system",
    errno.EILSEQ: "has a character the file system does not take",
    errno.ENXIO: "is no ordinary file",
    errno.ENODEV: "is no ordinary file",
}
RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
BY_CLASS: Mapping[type[OSError], int] = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
}
"""Drivers raise these without a number."""
OF_THE_POOL = {"billiard", "celery"}


def check_time(call: Call, rest: str) -> None:
    """Return while there is time; `rest` says before what it was over.

    Raises:
        TransientError: TIMEOUT.
    """
    if not call.remaining():
        raise TransientError(f"the time of the step was over before {rest}", code="TIMEOUT")


@contextmanager
def translated(root: str) -> Iterator[None]:
    """Turn what a file system raises into an error of ours.

    Raises:
        BusinessError: it is about the path.
        PermanentError: ACCESS_DENIED.
        TransientError: DISK_FULL, or FILES_UNREACHABLE; another try may pass.
    """
    try:
        yield
    except OSError as error:
        raise of(error, root) from error


@contextmanager
def translated_driver(root: str) -> Iterator[None]:
    """Turn what a driver raises into an error of ours, as `translated`; a driver's errors may be of any class.

    Raises:
        BusinessError, PermanentError, TransientError: the same.
    """
    try:
        with translated(root):
            yield
    except (ProcosError, MemoryError):
        raise
    except Exception as error:  # a driver may be anybody's, and so are its errors
        if type(error).__module__.partition(".")[0] in OF_THE_POOL:
            raise
        raise TransientError(f"{root}: {type(error).__name__}", code=UNREACHABLE) from error


def of(error: OSError, root: str) -> ProcosError:
    """Return what an error means."""
    number = error.errno or next((number for kind, number in BY_CLASS.items() if isinstance(error, kind)), 0)
    if number in BUSINESS:
        return BusinessError(*BUSINESS[number])
    if number in DENIED:
        return denied(DENIED[number])
    words = os.strerror(number) if number else type(error).__name__
    if number in RIGHTS:
        return PermanentError(f"{root}: {words}; give the worker's account the right, or mend it", code=ACCESS_DENIED)
    if number in NO_ROOM:
        return TransientError(f"{root}: {words}", code=FULL)
    return TransientError(f"{root}: {words}", code=UNREACHABLE)


def business(number: int) -> BusinessError:
    """Return the error a model can catch for a number."""
    return BusinessError(*BUSINESS[number])
