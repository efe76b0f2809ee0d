"""How the bridge's loops tell that they turn, and who of them has not for too long.

Each thread beats under its own name: at every turn, in every wait that repeats itself, and between the calls of a turn
that makes many. Between two beats lie a few calls at most, each with a time limit of its own, so a loop is late only
if it is silent for longer than these together: its thread hangs or has died, and restarting the bridge helps.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from procos import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.settings import Settings

CALLS = 4
"""Of each service, between two beats."""
SLACK = timedelta(seconds=60)
"""For the pause between two turns, and for a machine that is busy."""


def longest_silence(settings: Settings, *, polls: bool) -> timedelta:
    """Return how long a loop may go without a beat while all its calls last as long as they may."""
    call = settings.engine.timeout + settings.redis.timeout + settings.broker.confirm_timeout
    return SLACK + timedelta(seconds=CALLS * call + (settings.bridge.poll_timeout if polls else 0))


class Heartbeats:
    """When each loop turned last; shared by all of them."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, float] = {}
        self._beats: dict[str, float] = {}

    def expect(self, loop: str, *, within: timedelta) -> None:
        """Begin to watch a loop, which turns at least once in `within`; its first turn counts from now."""
        self._beats[loop] = self._clock()
        self._limits[loop] = within.total_seconds()

    def dismiss(self, loop: str) -> None:
        """Watch a loop no longer, since it has nothing to do."""
        self._limits.pop(loop, None)

    def beat(self, loop: str | None = None) -> None:
        """Note a turn of this loop, by default the one whose thread this is."""
        name = loop or threading.current_thread().name
        if name in self._limits:
            self._beats[name] = self._clock()
            metrics.turned(name)

    def late(self) -> Mapping[str, str]:
        """Return the loops that are late, and since when."""
        now = self._clock()
        return {
            loop: f"no turn for {now - self._beats[loop]:.0f} s; expected within {limit:g} s"
            for loop, limit in sorted(self._limits.items())
            if now - self._beats[loop] > limit
        }
