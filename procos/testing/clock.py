"""Time that moves only when a test says so, and waits that take none."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class FrozenClock:
    """A wall clock that stands still until it is advanced."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the moment it shows."""
        return self._now

    def milliseconds(self) -> int:
        """Return the moment it shows as epoch milliseconds."""
        return round(self._now.timestamp() * 1000)

    def advance(self, *, seconds: float) -> None:
        """Move on."""
        self._now += timedelta(seconds=seconds)


class InstantStop(threading.Event):
    """A stop event whose waits return at once; it sets itself in the wait numbered `after`."""

    def __init__(self, *, after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        """Note how long the caller would have waited, and say whether it should stop."""
        self.waits.append(0.0 if timeout is None else timeout)
        if self._after is not None and len(self.waits) >= self._after:
            self.set()
        return self.is_set()
