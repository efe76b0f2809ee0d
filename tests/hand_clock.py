"""A clock for tests, in seconds, that is moved by hand."""

from __future__ import annotations


class HandClock:
    """Stands still until `now` is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
