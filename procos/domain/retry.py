"""How often a step is tried, and when next: arithmetic only.

Exactly one place decides retries: the engine keeps the count, this module computes it. The count is computed from the
*fetched* value, so that reporting the same failure twice burns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

LONGEST_DELAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` in all, the first one included; delays double from `first_delay` to `longest_delay`."""

    attempts: int = 3
    first_delay: timedelta = timedelta(seconds=5)
    longest_delay: timedelta = timedelta(minutes=10)


def retries_left(policy: RetryPolicy, fetched: int | None) -> int:
    """How many attempts remain after a failed one; the engine knows none before the first failure."""
    return max((policy.attempts if fetched is None else fetched) - 1, 0)


def next_delay(policy: RetryPolicy, left: int, *, advice: timedelta | None, jitter: float) -> timedelta:
    """When to try again: exponential with full jitter (`jitter` is a random number in [0, 1)), or as advised.

    Full jitter spreads retries that failed together (Exponential Backoff And Jitter, AWS Architecture Blog).
    """
    if advice is not None:
        return min(max(advice, timedelta(0)), LONGEST_DELAY)
    failed = max(policy.attempts - left, 1)
    ceiling = min(policy.first_delay.total_seconds() * 2 ** min(failed - 1, 30), policy.longest_delay.total_seconds())
    return timedelta(seconds=ceiling * jitter)
