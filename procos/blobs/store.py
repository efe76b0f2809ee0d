"""The store of large values and files: any file system fsspec knows, with a folder for each process instance.

A blob is called by the hash of its content, so a step that runs twice leaves one, and no blob ever changes. It is
written under another name and moved when it is whole: who finds it finds all of it. Content passes in pieces.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from procos.blobs.filesystem import URL, is_missing, opened, shown, translated
from procos.blobs.holdings import PART, Holding, holdings_in, is_ours
from procos.blobs.reference import OCTETS, folder_of, reference_to, safe_media_type, safe_name
from procos.blobs.stream import CHUNK, VerifiedStream, damaged, pieces_of
from procos.domain.errors import BlobsUnreachableError, PermanentError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from procos.blobs.reference import BlobReference
    from procos.settings import BlobSettings

PROBE = "procos-doctor"
"""Stands for a process instance where the store is tried out."""


class BlobStore:
    """Puts and finds blobs; may be shared by threads. Nothing is opened before it is needed."""

    def __init__(self, url: str, *, largest: int) -> None:
        self._url, self._largest = url, largest
        self.address = shown(url)
        self._opened: tuple[Any, str] | None = None

    def put(
        self,
        content: bytes | bytearray | BinaryIO | Iterable[bytes],
        *,
        under: str,
        media_type: str = OCTETS,
        name: str | None = None,
    ) -> BlobReference:
        """Keep content for the process instance `under`, and return what finds it again.

        Raises:
            BlobsUnreachableError: the store does not take it; another try may pass.
            PermanentError: BLOB_TOO_LARGE, as soon as it is; nothing is kept.
            SettingsError: no driver for the store is installed.
        """
        folder = folder_of(under)
        part = f"{folder}/{uuid.uuid4().hex}{PART}"
        try:
            sha256, size = self._write(part, pieces_of(content))
            self._settle(part, f"{folder}/{sha256}", size)
        except BaseException:
            self._drop(part)
            raise
        facts = {"sha256": sha256, "size": size, "media_type": safe_media_type(media_type), "name": safe_name(name)}
        return reference_to(under, facts)

    def open(self, reference: BlobReference) -> BinaryIO:
        """Open a blob for reading, from its beginning to its end; close it, or use it in a `with`.

        Raises:
            PermanentError: BLOB_MISSING, or BLOB_DAMAGED: now, or when its last bytes are read.
            BlobsUnreachableError: the store does not answer.
        """
        size = self._size(reference)
        if size is not None and size != reference.size:
            raise damaged(reference)
        with self._reached() as (files, root):
            source = files.open(f"{root}/{reference.key}", "rb")
        return io.BufferedReader(VerifiedStream(source, reference, address=self.address), CHUNK)

    def read(self, reference: BlobReference, *, largest: int | None = None) -> bytes:
        """Return the whole of a blob, if it has at most `largest` bytes (PROCOS_BLOBS_LARGEST, if unsaid).

        Raises:
            PermanentError: BLOB_TOO_LARGE, BLOB_MISSING, or BLOB_DAMAGED.
            BlobsUnreachableError: the store does not answer.
        """
        limit = self._largest if largest is None else largest
        if reference.size > limit:
            raise too_large(f"the blob {reference.key} has {reference.size} bytes, at most {limit} are read")
        with self.open(reference) as stream:
            return stream.read()

    def probe(self) -> None:
        """Write something, read it, and remove it.

        Raises:
            BlobsUnreachableError, PermanentError, SettingsError: the store is of no use as it is.
        """
        try:
            self.read(self.put(uuid.uuid4().bytes, under=PROBE))
        finally:
            with suppress(BlobsUnreachableError):
                self.remove(PROBE)

    def holdings(self) -> Sequence[Holding]:
        """List what the store holds, by process instance; what is none of ours is left out.

        Raises:
            BlobsUnreachableError: the store does not answer.
        """
        return [each for each in holdings_in(self._listed("")) if each.process_instance_id != PROBE]

    def remove(self, instance_id: str) -> None:
        """Remove the blobs of a process instance, and what its broken writes have left.

        Raises:
            BlobsUnreachableError: the store fails; what is left can be removed another time.
        """
        folder = folder_of(instance_id)
        listed = self._listed(folder)
        with self._reached() as (files, root):
            for path in filter(is_ours, listed):
                with suppress(FileNotFoundError):
                    files.rm_file(path)
            if getattr(files, "local_file", False):  # elsewhere a folder is there as long as it holds something
                with suppress(OSError):
                    files.rmdir(f"{root}/{folder}")

    @contextmanager
    def _reached(self, *, may_lack: bool = False) -> Iterator[tuple[Any, str]]:
        """Hand out the file system and our folder in it; after an error it is opened anew by whoever comes next."""
        try:
            if self._opened is None:
                self._opened = opened(self._url)
            with translated(self.address):
                yield self._opened
        except BlobsUnreachableError:
            self._opened = None
            raise
        except FileNotFoundError as error:
            if may_lack:
                raise
            raise BlobsUnreachableError(self.address, "there is no such folder") from error

    def _write(self, path: str, pieces: Iterator[bytes]) -> tuple[str, int]:
        """Write pieces as they come; returns their hash and size."""
        digest, size = hashlib.sha256(), 0
        with self._created(path) as stream:
            for piece in pieces:
                size += len(piece)
                if size > self._largest:
                    raise too_large(f"more than {self._largest} bytes (PROCOS_BLOBS_LARGEST)")
                digest.update(piece)
                with self._reached():
                    stream.write(piece)
        return digest.hexdigest(), size

    @contextmanager
    def _created(self, path: str) -> Iterator[Any]:
        """Create a file, and close it when all is written; what is read meanwhile has errors of its own."""
        with self._reached() as (files, root):
            stream = _created(files, f"{root}/{path}")
        try:
            yield stream
        except BaseException:
            with suppress(Exception):  # it is thrown away anyway
                stream.close()
            raise
        with self._reached() as (files, _):
            if getattr(files, "local_file", False):
                stream.flush()
                os.fsync(stream.fileno())
            stream.close()

    def _settle(self, part: str, key: str, size: int) -> None:
        with self._reached() as (files, root):
            source, target = f"{root}/{part}", f"{root}/{key}"
            try:
                files.mv(source, target)
            except Exception:  # some refuse a target that is there: the same content, since it has the same hash
                if not files.exists(target) or files.info(target).get("size") != size:
                    raise
                files.rm_file(source)

    def _drop(self, part: str) -> None:
        with suppress(Exception), self._reached(may_lack=True) as (files, root):  # what is left goes with the others
            files.rm_file(f"{root}/{part}")

    def _size(self, reference: BlobReference) -> int | None:
        for _ in range(2):  # the first answer may be one that the driver remembers
            with suppress(FileNotFoundError), self._reached(may_lack=True) as (files, root):
                size = files.info(f"{root}/{reference.key}").get("size")
                return None if size is None else int(size)
            with self._reached() as (files, _):
                files.invalidate_cache()
        with self._reached() as (files, root):
            if not files.exists(root):
                raise BlobsUnreachableError(self.address, "there is no such folder")
        raise PermanentError(f"the blob {reference.key} is not in the store at {self.address}", code="BLOB_MISSING")

    def _listed(self, folder: str) -> dict[str, Any]:
        with suppress(FileNotFoundError), self._reached(may_lack=True) as (files, root):
            files.invalidate_cache()
            found: dict[str, Any] = files.find(f"{root}/{folder}".rstrip("/"), detail=True)
            return found
        return {}


@cache
def _store(settings: BlobSettings) -> BlobStore:
    assert settings.url is not None  # noqa: S101  # asked before
    return BlobStore(settings.url, largest=settings.largest)


def blob_store(settings: BlobSettings) -> BlobStore:
    """Return the store of the settings, the same one for all of a process.

    Raises:
        SettingsError: they name none.
    """
    if settings.url is None:
        raise SettingsError([f"{URL}: not set; it names the store of large values and files"])
    return _store(settings)


def check_driver(settings: BlobSettings) -> None:
    """Make sure that there is a driver for the store, if one is set; it need not answer now.

    Raises:
        SettingsError: there is none.
    """
    if settings.url is not None:
        with suppress(BlobsUnreachableError):
            opened(settings.url)


def too_large(text: str) -> PermanentError:
    """Return the error for content that is larger than it may be."""
    return PermanentError(text, code="BLOB_TOO_LARGE")


def _created(files: Any, path: str) -> Any:
    try:
        return files.open(path, "wb")
    except OSError as error:
        if not is_missing(error):
            raise
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    return files.open(path, "wb")
