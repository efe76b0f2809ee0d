"""Celery's Redis result backend, for workers that go on while Redis is away.

Celery lets the error of a result that cannot be stored end the task's thread, and in a pool of threads its message is
then neither acknowledged nor returned: the slot is lost until the worker is started anew. A success need not be stored,
since its callback carries it; a failure is what its callback refers to, so it is tried again for a while.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import redis
from celery import states
from celery.backends.redis import RedisBackend
from celery.exceptions import BackendError, BackendGetMetaError

from procos.logs import get_logger
from procos.own_connections import OwnConnections

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILURE_PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 1.0
AWAY = (redis.RedisError, BackendError)

log = get_logger(__name__)


@contextmanager
def _not_publishing(request: Any) -> Iterator[None]:
    """Let the run of a request, if `tasks.task` has noted one, not pass for one that waits for the broker alone."""
    run = getattr(request, "procos_run", None)
    if run is None:
        yield
        return
    run.is_publishing = False
    try:
        yield
    finally:
        run.is_publishing = True


def _not_stored(task_id: str, state: str, error: Exception) -> None:
    log.warning("result.not_stored", celery_id=task_id, state=state, reason=type(error).__name__)


class Results(RedisBackend):
    """The backend; named by its import path in the option `result_backend`."""

    pause = staticmethod(threading.Event().wait)
    clock = staticmethod(time.monotonic)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Store what a task returned or raised; a success that cannot be stored is let go."""
        with _not_publishing(kwargs.get("request")):
            return self._stored(task_id, result, state, *args, **kwargs)

    def _stored(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        deadline = self.clock() + (0.0 if state == states.SUCCESS else FAILURE_PATIENCE_SECONDS)
        while True:
            try:
                return super().store_result(task_id, result, state, *args, **kwargs)
            except AWAY as error:
                if self.clock() >= deadline:
                    _not_stored(task_id, state, error)
                    return result
                self.pause(PAUSE_SECONDS)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Write a success that a callback carries in one command, and wait for no answer; leave the rest to Celery.

        Celery reads first, so that nothing is written over a success; another success may be. It also publishes what
        it writes, for a caller that waits; where there is a callback, nobody does. Whether Redis has it would change
        nothing: a success that cannot be stored is let go.
        """
        if state != states.SUCCESS or not getattr(request, "callbacks", None):
            return super()._store_result(  # type: ignore[misc]  # celery-types lack it, and the rest
                task_id, result, state, traceback=traceback, request=request, **kwargs
            )
        meta = {
            "status": state,
            "result": result,
            "traceback": None,
            "children": [],
            "date_done": datetime.now(UTC).isoformat(),
            "task_id": task_id,
        }
        key: str = self.get_key_for_task(task_id)
        self._connections.tell(
            "SET", key, self.encode(meta), "EX", self.expires,  # type: ignore[attr-defined]  # celery-types lack it
            refused=partial(_not_stored, task_id, state),
        )  # fmt: skip
        return result

    @cached_property
    def _connections(self) -> OwnConnections:
        return OwnConnections(self.client)

    def get_task_meta(self, task_id: str, *args: Any, **kwargs: Any) -> Any:
        """Read what is stored of a task.

        Raises:
            BackendGetMetaError: Redis does not answer, in the one form Celery expects before it runs a task again.
        """
        try:
            return super().get_task_meta(task_id, *args, **kwargs)
        except redis.RedisError as error:
            raise BackendGetMetaError(f"no result of {task_id}: Redis does not answer") from error
