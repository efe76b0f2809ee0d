"""Leases of thousands are extended evenly, in time, and no oftener than those of one thousand."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from bridge.lease_keeper import BATCH, TURN
from bridge.pace import HORIZONS, LONGEST_SPAN, MANY, share, stretch

LOCK = timedelta(seconds=300)


@dataclass
class Queue:
    """The leases of a queue, by the moment each is to be extended, as the ledger hands them out."""

    due: list[float] = field(default_factory=list)
    extended: list[int] = field(default_factory=list)
    late: int = 0

    def fetch(self, count: int, now: float, lock: timedelta) -> None:
        for _ in range(count):
            insort(self.due, now + lock.total_seconds() / 2)

    def turn(self, now: float, lock: timedelta) -> None:
        counts = [bisect_right(self.due, now + horizon.total_seconds()) for horizon in HORIZONS]
        taken = max(min(bisect_right(self.due, now), BATCH), min(share(counts, TURN), len(self.due)))
        gone, self.due = self.due[:taken], self.due[taken:]
        self.late += sum(moment + lock.total_seconds() / 2 < now for moment in gone)
        self.extended.append(taken)
        span = stretch(lock, counts[-1]).total_seconds()
        for _ in gone:
            insort(self.due, now + span / 2)


def after(count: int, seconds: int, *, fetched_in: int = 30, lock: timedelta = LOCK) -> Queue:
    """Fetch so many within some seconds, and let a lease keeper work on."""
    queue = Queue()
    for now in range(seconds):
        if now < fetched_in:
            queue.fetch(count // fetched_in, now, lock)
        queue.turn(now, lock)
    return queue


def by_five(extended: list[int]) -> list[int]:
    return [sum(extended[start : start + 5]) for start in range(0, len(extended), 5)]


class TestPace:
    @pytest.mark.parametrize("count", [3_000, 10_000, 30_000])
    def test_is_even_from_the_first_round_on_and_never_late(self, count: int) -> None:
        queue = after(count, 2000)
        first, steady = queue.extended[:150], queue.extended[-900:]
        assert queue.late == 0
        assert max(first) < 2 * count / 150
        assert max(by_five(steady)) <= 1.5 * sum(steady) / 180

    def test_costs_the_engine_at_ten_thousand_little_more_than_at_one_thousand(self) -> None:
        assert sum(after(1_000, 900, fetched_in=1).extended) / 900 == pytest.approx(1_000 / 150, rel=0.3)
        assert sum(after(10_000, 2000).extended[-900:]) / 900 < 15

    def test_extends_few_at_half_time_and_not_before(self) -> None:
        queue = after(MANY - 100, 400)
        assert sum(queue.extended[:150]) == 0
        assert queue.extended[150:180] == [(MANY - 100) // 30] * 30

    def test_keeps_short_locks_too(self) -> None:
        assert after(1_500, 300, lock=timedelta(seconds=20)).late == 0


class TestStretch:
    def test_leaves_the_span_as_it_is_while_few_are_in_flight(self) -> None:
        assert stretch(LOCK, MANY) == LOCK

    def test_grows_with_what_is_in_flight_up_to_a_limit(self) -> None:
        assert stretch(LOCK, 3 * MANY) == 3 * LOCK
        assert stretch(LOCK, 100 * MANY) == LONGEST_SPAN

    def test_shortens_nothing(self) -> None:
        assert stretch(2 * LONGEST_SPAN, 100 * MANY) == 2 * LONGEST_SPAN
