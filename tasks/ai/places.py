"""Keeps alive the places that running requests hold under a provider's `at_once`, so that those of the dead fall free.

A place runs out 20 s after it was last renewed. One thread per process renews what the process holds, every 5 s; it
sleeps while nothing is held. A place that Redis has lost is not made anew: the request goes on without.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import TYPE_CHECKING

import redis

from tasks.ai.limit_scripts import RENEW
from tasks.ai.outage import Outage
from tasks.store import client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACE_MILLISECONDS = 20_000
RENEW_SECONDS = 5.0
IDLE_SECONDS = 60.0

_lock = threading.Lock()


class Places:
    """The places this process holds, each under the key of its provider, and the thread that renews them."""

    def __init__(self, store: redis.Redis) -> None:
        self._renew = store.register_script(RENEW)
        self._held: dict[str, set[str]] = {}
        self._outage = Outage("places")
        self._some = threading.Condition()
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, key: str, holder: str) -> None:
        """Renew a place from now on."""
        with self._some:
            self._held.setdefault(key, set()).add(holder)
            self._some.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_on, name="ai-places", daemon=True)
                self._thread.start()

    def remove(self, key: str, holder: str) -> None:
        """Renew a place no longer."""
        with self._some:
            holders = self._held.get(key, set())
            holders.discard(holder)
            if not holders:
                self._held.pop(key, None)

    def renew(self) -> None:
        """Renew every place once."""
        for key, holders in self._now_held().items():
            try:
                self._renew(keys=[key], args=[PLACE_MILLISECONDS, *holders])
            except redis.RedisError as error:
                self._outage.note(error)
            else:
                self._outage.end()

    def _now_held(self) -> Mapping[str, Sequence[str]]:
        with self._some:
            return {key: sorted(holders) for key, holders in self._held.items()}

    def _renew_on(self) -> None:
        while True:
            with self._some:
                while not self._held:
                    self._some.wait(IDLE_SECONDS)
            self._pause.wait(RENEW_SECONDS)
            self.renew()


def places(url: str) -> Places:
    """Return what this process holds; what a fork has copied is without its thread, and is not used."""
    with _lock:
        return _places(os.getpid(), url)


@cache
def _places(_pid: int, url: str) -> Places:
    return Places(client(url))
