"""A root in a store that fsspec knows: S3, Azure, Google, SFTP, WebDAV, or the memory of this process.

A path becomes a key below the root's; since its names are plain, there is nothing in it to resolve. Whether a server
follows links of its own is its affair: give the account no more than the root. Drivers are imported at first use.
"""

from __future__ import annotations

import errno
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from procos.domain.addresses import without_secrets
from procos.domain.errors import BusinessError, PermanentError
from tasks.adapters.files.faults import UNSUITABLE, business, translated_driver
from tasks.adapters.files.paths import denied
from tasks.adapters.files.root import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tasks.adapters.files.root import Parts

IN_ONE_CALL = 8 * 1024 * 1024
"""Bytes up to which content is handed to the driver at once; larger files it takes in pieces of its own."""
PROBE = ".procos-probe"
MODIFIED = ("LastModified", "last_modified", "modified", "mtime", "updated", "created")
"""Where drivers say when a file was written last."""
KINDS: Mapping[str, Kind] = {"file": Kind.FILE, "directory": Kind.FOLDER}


class RemoteRoot:
    """A place in a store; the driver keeps its connections."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.shown, self._url, self._options = without_secrets(url), url, options

    def look(self, parts: Parts) -> Entry | None:
        """Return what is there; a root in which nothing is yet is a folder all the same."""
        with self._reached() as (files, root):
            try:
                return _entry(files.info(_key(root, parts)))
            except FileNotFoundError:
                return None if parts else Entry(name="", kind=Kind.FOLDER)

    def children(self, parts: Parts) -> Iterator[Entry]:
        """Return what is in a folder."""
        with self._reached() as (files, root):
            key = _key(root, parts)
            try:
                listed = files.ls(key, detail=True)
            except FileNotFoundError:
                if parts:
                    raise
                return
            # A store may list the mark of the folder among its files.
            yield from map(_entry, (each for each in listed if each["name"].strip("/") != key.strip("/")))

    @contextmanager
    def opened(self, parts: Parts) -> Iterator[tuple[BinaryIO, Entry]]:
        """Open a file for reading."""
        found = self.look(parts)
        if found is None:
            raise business(errno.ENOENT)
        _check_file(found)
        with self._reached() as (files, root), files.open(_key(root, parts), "rb") as stream:
            yield stream, found

    def write(self, parts: Parts, pieces: Iterable[bytes], *, replace: bool) -> None:
        """Write a file with one put, after all of it was read; object stores show it when it is whole."""
        with translated_driver(self.shown), tempfile.NamedTemporaryFile() as gathered:
            for piece in pieces:
                gathered.write(piece)
            size = gathered.tell()
            gathered.seek(0)
            found = self.look(parts)
            if found is not None:
                _check_file(found)
                if not replace:
                    raise business(errno.EEXIST)
            with self._reached() as (files, root), _exclusively(replace=replace):
                key, mode = _key(root, parts), "overwrite" if replace else "create"
                if size <= IN_ONE_CALL:
                    files.pipe_file(key, gathered.read(), mode=mode)
                else:
                    files.put_file(gathered.name, key, mode=mode)

    def delete(self, parts: Parts) -> bool:
        """Remove a file; False if there was none."""
        found = self.look(parts)
        if found is None:
            return False
        _check_file(found)
        with self._reached() as (files, root):
            try:
                files.rm_file(_key(root, parts))
            except FileNotFoundError:
                return False
        return True

    def probe(self, *, write: bool) -> None:
        """Look whether the store answers; a probe that was written is removed."""
        with self._reached() as (files, root):
            with suppress(FileNotFoundError):
                files.info(root or "/")
            if write:
                files.pipe_file(f"{root}/{PROBE}", b"probe")
                files.rm_file(f"{root}/{PROBE}")

    @contextmanager
    def _reached(self) -> Iterator[tuple[Any, str]]:
        """Hand out the file system and our place in it; after an error its connections are made anew."""
        from fsspec.core import url_to_fs

        files = None
        try:
            with translated_driver(self.shown):
                try:
                    files, root = url_to_fs(self._url, **self._options)
                except (ImportError, ValueError) as error:
                    raise PermanentError(
                        f"{self.shown}: no driver for such addresses, or one that does not take these `options`",
                        code=UNSUITABLE,
                    ) from error
                files.invalidate_cache()
                yield files, root.rstrip("/")
        except (BusinessError, GeneratorExit):
            raise
        except BaseException:
            if files is not None:
                type(files).clear_instance_cache()
            raise


@contextmanager
def _exclusively(*, replace: bool) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        if replace:
            raise
        text = "the store cannot tell whether a file is there before it is written; use overwrite: replace"
        raise PermanentError(text, code=UNSUITABLE) from error


def _key(root: str, parts: Parts) -> str:
    return "/".join((root, *parts))


def _check_file(found: Entry) -> None:
    if found.kind is Kind.FOLDER:
        raise business(errno.EISDIR)
    if found.kind is not Kind.FILE:
        raise denied("is no ordinary file")


def _entry(facts: Mapping[str, Any]) -> Entry:
    name = str(facts["name"]).rstrip("/").rpartition("/")[2]
    kind = KINDS.get(facts.get("type", ""), Kind.OTHER)
    return Entry(name=name, kind=kind, size=int(facts.get("size") or 0), modified=_moment(facts))


def _moment(facts: Mapping[str, Any]) -> datetime | None:
    given = next((facts[name] for name in MODIFIED if facts.get(name) is not None), None)
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(given, str):
            given = datetime.fromisoformat(given)
        if isinstance(given, datetime):
            return given if given.tzinfo else given.replace(tzinfo=UTC)
        if isinstance(given, int | float):
            return datetime.fromtimestamp(given, UTC)
    return None
