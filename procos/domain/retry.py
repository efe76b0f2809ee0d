"""How often a step is tried, and when next: arithmetic only.

Exactly one place decides retries: the engine keeps the count, this module computes it. The count is computed from the
*fetched* value, so that reporting the same failure twice burns nothing. A model says its own policy in the extension
property RETRY_CONFIG of the task, as the retry aspect of the Camunda 7 community reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

RETRY_CONFIG = "RETRY_CONFIG"
LONGEST_DELAY = timedelta(days=1)
LONGEST_INTERVAL = timedelta(days=365)
MOST_ATTEMPTS = 1000
LONGEST_CONFIG = 500
REPEATED = re.compile(r"R(\d{1,4})/(\S+)")
DURATION = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` in all, the first one included; delays double from `first_delay` to `longest_delay`.

    Where there are `intervals`, they are the delays, as written, and the last one is repeated.
    """

    attempts: int = 3
    first_delay: timedelta = timedelta(seconds=5)
    longest_delay: timedelta = timedelta(minutes=10)
    intervals: tuple[timedelta, ...] = ()


def policy_from_model(text: str) -> RetryPolicy:
    """Read a RETRY_CONFIG: `R3/PT5M` is three attempts; `PT1M,PT5M` are two waits, and so three attempts.

    Raises:
        ValueError: it is neither; the message says what was expected.
    """
    if len(text) > LONGEST_CONFIG:
        raise ValueError(f"has {len(text)} characters, at most {LONGEST_CONFIG} are read")
    if repeated := REPEATED.fullmatch(text.strip()):
        attempts, intervals = int(repeated[1]), [_interval(repeated[2])]
    else:
        intervals = [_interval(part.strip()) for part in text.split(",")]
        attempts = len(intervals) + 1
    if not 1 <= attempts <= MOST_ATTEMPTS:
        raise ValueError(f"means {attempts} attempts, expected 1 to {MOST_ATTEMPTS}")
    return RetryPolicy(attempts=attempts, intervals=tuple(intervals))


def policy_of(config: str | None, otherwise: RetryPolicy) -> RetryPolicy:
    """Return the policy a model's RETRY_CONFIG means; `otherwise` where there is none, or none we can read."""
    if config is not None:
        try:
            return policy_from_model(config)
        except ValueError:  # checked at the dispatch, so by another version of these rules
            pass
    return otherwise


def retries_left(policy: RetryPolicy, fetched: int | None) -> int:
    """How many attempts remain after a failed one; the engine knows none before the first failure."""
    return max((policy.attempts if fetched is None else fetched) - 1, 0)


def next_delay(policy: RetryPolicy, left: int, *, advice: timedelta | None, jitter: float) -> timedelta:
    """When to try again: as advised, as the model says, or exponential with full jitter (a random number in [0, 1)).

    Full jitter spreads retries that failed together (Exponential Backoff And Jitter, AWS Architecture Blog).
    """
    if advice is not None:
        return min(max(advice, timedelta(0)), LONGEST_DELAY)
    failed = max(policy.attempts - left, 1)
    if policy.intervals:
        return policy.intervals[min(failed, len(policy.intervals)) - 1]
    ceiling = min(policy.first_delay.total_seconds() * 2 ** min(failed - 1, 30), policy.longest_delay.total_seconds())
    return timedelta(seconds=ceiling * jitter)


def duration_of(text: str) -> timedelta:
    """Read an ISO 8601 duration of weeks, days and smaller; months and years have no fixed length.

    Raises:
        ValueError: it is none, or longer than a year.
    """
    found = DURATION.fullmatch(text)
    if not found or not any(found.groupdict().values()):
        raise ValueError(f"{text!r} is not a duration such as PT5M")
    try:
        duration = timedelta(**{unit: float(number) for unit, number in found.groupdict().items() if number})
    except OverflowError:
        duration = timedelta.max
    if duration > LONGEST_INTERVAL:
        raise ValueError(f"{text!r} is longer than a year")
    return duration


def _interval(text: str) -> timedelta:
    try:
        return duration_of(text)
    except ValueError as error:
        raise ValueError(f"{error}; expected R3/PT5M or PT1M,PT5M,PT1H") from error
