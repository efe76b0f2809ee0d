"""How the bridge's loops tell that they turn, and who of them has not for too long.

Each thread beats under its own name, at every turn and in every wait that repeats itself. A loop that waits for a
service beats on, so that only a thread that hangs or has died is late: restarting the bridge mends nothing else.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from procos import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta


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
