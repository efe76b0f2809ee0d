"""Tells the bridges how many tasks a worker runs at once, and of which queues: they fetch as much as that calls for.

One line per queue in Redis, that runs out by itself when the worker is gone. Nothing here may hold a worker up: each
call has a quarter of a second, and a Redis that does not answer is left alone for a while. Then the bridges go by what
drains. `procos.worker.Slots` calls it from the worker's own loop, so that no thread meets a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from procos import ledger_keys as keys
from procos.demand_scripts import SHOW_SLOTS
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

RENEWED_EVERY_SECONDS = 2.0
KEPT_MILLISECONDS = 8_000
TIMEOUT_SECONDS, CONNECT_SECONDS = 0.25, 1.0
"""For a command, and for a connection, which is kept: over TLS and from afar it takes several round trips."""
TURNS_LEFT_OUT = 4
"""After one that failed."""

log = get_logger(__name__)


class WorkerSlots:
    """The slots of one worker, as the bridges see them."""

    def __init__(self, url: str, worker: str, *, kept_ms: int = KEPT_MILLISECONDS) -> None:
        self._worker, self._kept_ms = worker, kept_ms
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._show = self._redis.register_script(SHOW_SLOTS)
        self._shown: tuple[str, Sequence[str]] = ("", ())
        self._left_out = 0
        self._is_hidden = False

    def show(self, slots: int, queues: Sequence[str]) -> None:
        """Show these slots for the next seconds, unless Redis has just failed."""
        if self._left_out > 0:
            self._left_out -= 1
            return
        line = f"{slots} {self._worker}"
        try:
            if self._shown != (line, queues):
                self._remove()
            self._show(keys=[keys.slots(queue) for queue in queues], args=[line, self._kept_ms])
        except redis.RedisError as error:
            if not self._is_hidden:
                log.warning("slots.not_shown", reason=str(error))
            self._is_hidden, self._left_out = True, TURNS_LEFT_OUT
        else:
            self._is_hidden, self._shown = False, (line, queues)

    def withdraw(self) -> None:
        """Show them no longer: this worker takes no more tasks."""
        try:
            self._remove()
        except redis.RedisError as error:
            log.debug("slots.not_withdrawn", reason=str(error))  # they run out by themselves

    def _remove(self) -> None:
        line, queues = self._shown
        if not queues:
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.zrem(keys.slots(queue), line)
            pipeline.execute()
        self._shown = ("", ())
