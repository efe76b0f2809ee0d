"""Reads blobs as a whole, and never waits long for a store that hangs.

Nobody can end a call of a driver that hangs: it keeps its thread until it returns. So each read has a thread of its
own, which keeps no bridge from ending, and they are few. Who waits for one gives up after a while; who would have to
wait for the place of one that lasts gives up at once. Then the store is as good as away, and what is read for waits.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from procos.blobs import blob_store
from procos.domain.errors import BlobsUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.blobs import BlobReference, BlobStore
    from procos.settings import BlobSettings

AT_ONCE = 2
"""Reads under way: far less than there are completers, so that the others report what has no files."""
LONGEST_SECONDS = 30.0
"""How long one is waited for; it is of 8 MiB at most."""
PATIENCE_SECONDS = 1.0
"""How long a read may last before nobody waits for its place any more: a store that works has ended it by then."""
LOOK_SECONDS = 0.2
"""Between two looks whether the bridge is to end."""


class BlobReads:
    """Reads from the store of the settings; may be shared by threads."""

    def __init__(
        self, blobs: BlobSettings, stop: threading.Event, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._blobs, self._stop, self._clock = blobs, stop, clock
        self._changed = threading.Condition()
        self._under_way: dict[Future[bytes], tuple[str, float]] = {}
        """What is read, and since when; also what nobody waits for any more."""

    def read(self, reference: BlobReference) -> bytes:
        """Return the whole of a blob.

        Raises:
            PermanentError: BLOB_TOO_LARGE, BLOB_MISSING, or BLOB_DAMAGED.
            SettingsError: there is no store, or no driver for it.
            BlobsUnreachableError: the store does not answer, or not soon enough.
        """
        store, found = blob_store(self._blobs), Future[bytes]()
        self._begin(store, reference, found)
        deadline = self._clock() + LONGEST_SECONDS
        while (left := deadline - self._clock()) > 0:
            if wait([found], min(left, LOOK_SECONDS)).done:
                return found.result()
            if self._stop.is_set():
                raise BlobsUnreachableError(store.address, f"{reference.key} takes longer than this bridge lives")
        raise BlobsUnreachableError(store.address, f"{reference.key} could not be read within {LONGEST_SECONDS:g} s")

    def _begin(self, store: BlobStore, reference: BlobReference, found: Future[bytes]) -> None:
        with self._changed:
            self._refuse_what_lasts(store, reference.key)
            if not self._changed.wait_for(self._has_room, self._patience()):
                since = self._clock() - min(began for _, began in self._under_way.values())
                raise BlobsUnreachableError(store.address, f"{AT_ONCE} reads are under way, one for {since:.0f} s")
            self._under_way[found] = (reference.key, self._clock())
        try:
            threading.Thread(target=self._read, args=(store, reference, found), name="blob-read", daemon=True).start()
        except RuntimeError as error:  # the machine has none left
            self._end(found)
            raise BlobsUnreachableError(store.address, f"no thread to read with: {error}") from error

    def _refuse_what_lasts(self, store: BlobStore, key: str) -> None:
        """Begin no second read of a blob whose first one lasts: one that hangs must not take every place in turn."""
        for reading, began in self._under_way.values():
            if reading == key and (since := self._clock() - began) >= PATIENCE_SECONDS:
                raise BlobsUnreachableError(store.address, f"{key} has been read for {since:.0f} s already")

    def _has_room(self) -> bool:
        return len(self._under_way) < AT_ONCE

    def _patience(self) -> float:
        youngest = max((began for _, began in self._under_way.values()), default=self._clock())
        return PATIENCE_SECONDS if self._clock() - youngest < PATIENCE_SECONDS else 0.0

    def _read(self, store: BlobStore, reference: BlobReference, found: Future[bytes]) -> None:
        try:
            found.set_result(store.read(reference))
        except BaseException as error:  # noqa: BLE001  # whatever it is: it is raised where the content is waited for
            found.set_exception(error)
        finally:
            self._end(found)

    def _end(self, found: Future[bytes]) -> None:
        with self._changed:
            del self._under_way[found]
            self._changed.notify_all()
