"""The file system behind a store: how it is opened, and what its errors mean.

Of all of procos fsspec is imported here alone, and late. What a driver raises ends here. The words of its errors are
not repeated: they may hold signed addresses.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from procos.domain.addresses import without_secrets
from procos.domain.errors import BlobsUnreachableError, ProcosError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "PROCOS_BLOBS_URL"
OF_THE_POOL = {"billiard", "celery"}
"""What these raise in a task from outside, such as a time limit, is none of the driver's errors."""


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of an address, connected where its driver connects at once, and the folder in it.

    Raises:
        SettingsError: no driver for such an address is known, or installed.
        BlobsUnreachableError: it does not answer.
    """
    from fsspec.core import url_to_fs

    try:
        with translated(shown(url)):
            # Else a connection that is dead would be handed out again.
            files, root = url_to_fs(url, skip_instance_cache=True)
    except BlobsUnreachableError as error:
        match error.__cause__:
            case ImportError() as missing:
                raise SettingsError([f"{URL}: {missing}"]) from missing
            case ValueError() as unknown:
                kind = url.partition("://")[0]
                raise SettingsError([f"{URL}: fsspec knows no store for addresses such as {kind}://…"]) from unknown
        raise
    return files, root.rstrip("/")


def shown(url: str) -> str:
    """Return an address as people may see it."""
    return "::".join(without_secrets(part) for part in url.split("::"))


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn what a driver raises into an error of ours, that of a file which is not there apart.

    Raises:
        BlobsUnreachableError: whatever it was; another try may pass.
        FileNotFoundError: there is no such file.
    """
    try:
        yield
    except (ProcosError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a driver may be anybody's, and so are its errors
        if type(error).__module__.partition(".")[0] in OF_THE_POOL:
            raise
        if is_missing(error):
            raise FileNotFoundError(errno.ENOENT, "no such file") from error
        raise BlobsUnreachableError(address, _reason(error)) from error


def is_missing(error: Exception) -> bool:
    """Whether an error says that there is no such file."""
    return isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno == errno.ENOENT)


def _reason(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
