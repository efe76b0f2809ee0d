"""Brings the files of fetched steps to the blob store, so that their dispatches carry references.

The engine hands out a File without its content, and Bytes with it. Either passes to the store in pieces and leaves the
task a variable that holds a reference. Workers never ask the engine about a step, so it is done here: under a fresh
lock, within half of it, on a thread of `Porters`, after all steps of the same fetch that have no files.
"""

from __future__ import annotations

import binascii
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.undispatched import put_off, refuse
from procos.blobs import blob_store
from procos.blobs.reference import safe_media_type
from procos.domain.errors import (
    BlobsUnreachableError,
    EngineError,
    EngineRejectedError,
    PermanentError,
    SettingsError,
    UnreachableError,
    VariableError,
)
from procos.domain.variables import BYTES, FILE, TypedValue, to_engine
from procos.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from procos.domain.errors import ProcosError
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.engine.protocol import Engine
    from procos.routes import Route
    from procos.settings import BlobSettings

SHARE = 0.5
"""Of a lock, that one file may take from the engine to the store."""
SIGNS = 4 * 64 * 1024
"""Signs of base64 at a time."""
MOST_TRIES = 3
"""Of a step with a file that takes longer: a store that is slow for everybody may be quicker later."""
MOST_NOTED = 1000
"""Steps whose tries are counted; then it begins anew, since some of them may be gone."""

log = get_logger(__name__)


class IncomingFiles:
    """Keeps files in the store; belongs to one dispatcher. Without a store it has nothing to do."""

    def __init__(
        self,
        engine: Engine,
        blobs: BlobSettings,
        *,
        lease: timedelta,
        stop: threading.Event,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._blobs, self._lease = engine, blobs, lease
        self._stop, self._beat, self._clock = stop, beat, clock
        self._tries: dict[ExternalTaskId, int] = {}  # that took too long

    def are_in(self, task: ExternalTask) -> bool:
        """Whether a step has files that are to be brought."""
        return self._blobs.url is not None and any(_is_file(typed) for typed in task.variables.values())

    def brought(self, task: ExternalTask, route: Route, is_ours: Callable[[], bool]) -> ExternalTask | None:
        """Return the task with its files in the store, or nothing: it is refused, or put off, and that is said.

        To a step that is not ours any more nothing is done: it was put off, and may be under way by now.
        """
        try:
            if kept := self.kept(task, route, is_ours):
                self._tries.pop(task.id, None)
                return kept
        except (VariableError, SettingsError) as error:
            if is_ours():
                refuse(self._engine, task, error)
        except (EngineError, UnreachableError) as error:  # the next step may fare better
            if is_ours():
                self.put_off(task, route, error)
        except Exception as error:  # else its lock would run out, and it would come again without a word to anybody
            if is_ours():
                self.put_off(task, route, f"{type(error).__name__}; the bridge's log says more")
            raise
        return None

    def kept(self, task: ExternalTask, route: Route, is_ours: Callable[[], bool]) -> ExternalTask | None:
        """Return the task with references in place of its files, which are in the store then, if it is ours still.

        Raises:
            VariableError: a file is too large, is gone, or took longer than half of the lock, try after try.
            SettingsError: there is no driver for the store any more.
            BlobsUnreachableError: the store fails, or a file took longer for the first time.
            EngineUnreachableError, EngineError: it could not be brought now.
        """
        if not self.are_in(task) or task.lease is None:
            return task
        lock, variables = route.lock_duration or self._lease, dict(task.variables)
        for name, typed in task.variables.items():
            if _is_file(typed):
                self._engine.lock(task.id, task.lease.holder, lock)
                variables[name] = self._reference(task, name, typed, seconds=lock.total_seconds() * SHARE)
                if not is_ours():
                    log.warning("file.too_late", external_task_id=task.id, topic=task.topic)
                    return None
        self._engine.lock(task.id, task.lease.holder, lock)
        return replace(task, variables=variables)

    def put_off(self, task: ExternalTask, route: Route, reason: object) -> None:
        """Have the engine offer a step again in a while, with as many retries as it has."""
        self._beat()
        log.warning("file.not_kept", external_task_id=task.id, topic=task.topic, reason=str(reason))
        put_off(self._engine, task, route, f"its files could not be brought to the blob store, tried again: {reason}")

    def _reference(self, task: ExternalTask, name: str, typed: TypedValue, *, seconds: float) -> TypedValue:
        told = {fact.lower(): str(value) for fact, value in typed.value_info.items() if value}
        try:
            with self._content(task, name, typed) as pieces:
                reference = blob_store(self._blobs).put(
                    self._watched(task, name, pieces, seconds),
                    under=task.process_instance_id,
                    media_type=safe_media_type(told.get("mimetype"), told.get("encoding")),
                    name=told.get("filename"),
                )
        except (EngineRejectedError, PermanentError) as error:
            raise VariableError(name, f"its content cannot be kept: {error}") from error
        log.info("file.kept", external_task_id=task.id, topic=task.topic, variable=name, bytes=reference.size)
        return to_engine(name, reference.to_json())

    def _content(self, task: ExternalTask, name: str, typed: TypedValue) -> AbstractContextManager[Iterator[bytes]]:
        """Read what is in a variable: from the engine, or from the fetch where that has brought it."""
        if isinstance(typed.value, str):
            return nullcontext(_decoded(name, typed.value))
        return self._engine.content(task, name)

    def _watched(self, task: ExternalTask, name: str, pieces: Iterator[bytes], seconds: float) -> Iterator[bytes]:
        """Hand pieces on, with a sign of life for each, until the time is over or the bridge stops.

        One piece may take most of it: a driver gathers some megabytes before it sends them.
        """
        deadline = self._clock() + seconds
        for piece in pieces:
            self._beat()
            if self._stop.is_set():
                raise BlobsUnreachableError(blob_store(self._blobs).address, "the bridge stops", cure="")
            if self._clock() > deadline:
                raise self._too_slow(task, name, seconds)
            yield piece

    def _too_slow(self, task: ExternalTask, name: str, seconds: float) -> ProcosError:
        """Return the error for a file that takes longer: another try, or none any more."""
        if len(self._tries) >= MOST_NOTED:
            self._tries.clear()
        tries = self._tries[task.id] = self._tries.get(task.id, 0) + 1
        text = f"its content did not get into the blob store within {seconds:g} s, half of its lock"
        cure = "longer lock_duration of the route gives it more"
        if tries < MOST_TRIES:
            reason = f"variable {name!r}: {text} (try {tries} of {MOST_TRIES})"
            return BlobsUnreachableError(blob_store(self._blobs).address, reason, cure=f"A {cure}.")
        del self._tries[task.id]
        return VariableError(name, f"{text}, {tries} times; a {cure}")


def _is_file(typed: TypedValue) -> bool:
    return typed.type == FILE or (typed.type == BYTES and typed.value is not None)


def _decoded(name: str, text: str) -> Iterator[bytes]:
    try:
        for start in range(0, len(text), SIGNS):
            yield binascii.a2b_base64(text[start : start + SIGNS], strict_mode=True)
    except ValueError as error:
        raise VariableError(name, "is not base64") from error
