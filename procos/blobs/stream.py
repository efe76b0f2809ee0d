"""A blob as it is read: hashed on its way, and refused at its end, if it is not what its reference says."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from procos.blobs.filesystem import translated
from procos.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed import WriteableBuffer

    from procos.blobs.reference import BlobReference

CHUNK = 1024 * 1024
"""Bytes that are in memory at a time, those of the driver apart."""


class VerifiedStream(io.RawIOBase):
    """The bytes of a blob; the last of them are handed out only if all were right."""

    def __init__(self, source: Any, reference: BlobReference, *, address: str) -> None:
        super().__init__()
        self._source, self._reference, self._address = source, reference, address
        self._digest, self._seen = hashlib.sha256(), 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what comes next.

        Raises:
            PermanentError: BLOB_DAMAGED, when it has ended or should have.
            BlobsUnreachableError: the store fails in the midst of it.
        """
        target = memoryview(buffer).cast("B")
        with translated(self._address):
            piece = self._source.read(len(target))
        self._digest.update(piece)
        self._seen += len(piece)
        if not piece or self._seen >= self._reference.size:
            self._verify()
        target[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Let go of it; what was not read is not looked at."""
        if not self.closed:
            self._source.close()
        super().close()

    def _verify(self) -> None:
        if self._seen != self._reference.size or self._digest.hexdigest() != self._reference.sha256:
            raise damaged(self._reference)


def damaged(reference: BlobReference) -> PermanentError:
    """Return the error for a blob whose content is another than the one that was put there."""
    return PermanentError(
        f"the blob {reference.key} is damaged: its content is not what its reference says", code="BLOB_DAMAGED"
    )


def pieces_of(content: bytes | bytearray | BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """Return content in pieces, whether it is in memory, a file that is open, or comes in pieces already."""
    if isinstance(content, bytes | bytearray):
        whole = memoryview(content)
        return (bytes(whole[start : start + CHUNK]) for start in range(0, len(whole), CHUNK))
    read = getattr(content, "read", None)
    if read is not None:
        return iter(partial(read, CHUNK), b"")
    return iter(content)
