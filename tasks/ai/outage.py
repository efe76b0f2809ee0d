"""Tells the log once that Redis is away, and once that it is back, whatever number of requests notice.

Each part that stands around a call to an AI provider has one, for as long as its process lives.
"""

from __future__ import annotations

import threading

from procos.logs import get_logger

log = get_logger(__name__)


class Outage:
    """Whether Redis was away when a part last asked it."""

    def __init__(self, part: str) -> None:
        self._part, self._lock = part, threading.Lock()
        self._is_on = False

    def note(self, error: Exception) -> None:
        """Redis has not answered; `error` says why."""
        with self._lock:
            is_new, self._is_on = not self._is_on, True
        if is_new:
            log.warning("ai.without_redis", part=self._part, reason=str(error))

    def end(self) -> None:
        """Redis has answered."""
        if not self._is_on:
            return
        with self._lock:
            self._is_on = False
        log.info("ai.with_redis_again", part=self._part)
