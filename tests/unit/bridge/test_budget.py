"""How much may be in flight: what the workers want, up at once and down within seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.budget import AHEAD_SECONDS, Budget, Drain, limit_of
from procos.caps import Cap
from procos.domain.errors import LedgerUnreachableError
from procos.domain.external_task import Topic
from procos.testing import dispatch_ref

if TYPE_CHECKING:
    from bridge.ledger_values import Demand
    from procos.testing import FakeLedger, FrozenClock


class TestDrain:
    def rate(self, *counts: tuple[float, int]) -> float:
        drain = Drain()
        for moment, starts in counts:
            drain.note(moment, starts)
        return drain.per_second

    def test_is_not_known_from_one_count(self) -> None:
        assert self.rate((0, 1000)) == 0

    def test_is_what_was_started_over_the_time_it_took(self) -> None:
        assert self.rate((0, 0), (0.5, 50), (1.0, 100), (2.0, 200)) == 100

    def test_rises_with_the_next_count(self) -> None:
        assert self.rate((0, 0), (1, 0), (2, 0), (2.5, 150)) == 300

    def test_stays_while_nothing_is_there_to_start(self) -> None:
        """An empty queue between two fetches says nothing of how fast its workers are."""
        assert self.rate((0, 0), (0.5, 100), (1, 100), (1.5, 100), (2, 200), (2.5, 200)) == 200

    def test_forgets_what_was_before_the_window(self) -> None:
        busy, idle = [(t * 0.5, t * 100) for t in range(5)], [(2 + t * 0.5, 400) for t in range(1, 10)]
        assert self.rate(*busy) == 200
        assert self.rate(*busy, *idle[:7]) == 200
        assert self.rate(*busy, *idle) == 0

    def test_begins_anew_when_the_count_does(self) -> None:
        assert self.rate((0, 5000), (1, 5100), (2, 3)) == 0
        assert self.rate((0, 5000), (1, 5100), (2, 3), (3, 43)) == 40

    def test_leaves_out_what_may_have_filled_idle_slots(self) -> None:
        drain = Drain()
        for moment, starts in ((0, 0), (0.5, 160), (1.0, 160), (1.5, 420)):
            drain.note(moment, starts, slots=160)
        assert drain.per_second == 200

    def test_of_a_poll_that_waited_for_long_is_what_was_started_meanwhile(self) -> None:
        assert self.rate((0, 0), (10, 20)) == 2


class TestLimit:
    @pytest.mark.parametrize(
        ("capacity", "least", "slots", "per_second", "limit"),
        [
            (2000, 32, 0, 0.0, 32),
            (2000, 32, 10, 0.0, 32),
            (2000, 32, 256, 0.0, 512),
            (2000, 32, 16, 310.2, 621),
            (2000, 32, 4000, 0.0, 2000),
            (10, 32, 0, 0.0, 10),
            (10_000, 10_000, 16, 300.0, 10_000),
        ],
    )
    def test_is_twice_the_slots_or_two_seconds_of_work(
        self, capacity: int, least: int, slots: int, per_second: float, limit: int
    ) -> None:
        assert limit_of(capacity=capacity, least=least, slots=slots, per_second=per_second) == limit

    @pytest.mark.parametrize(("fetch_seconds", "limit"), [(0, 200), (0.25, 250), (1.7, 540), (60, 1200)])
    def test_is_more_by_what_drains_while_two_fetches_are_made(self, fetch_seconds: float, limit: int) -> None:
        assert limit_of(capacity=2000, least=32, slots=2, per_second=100, fetch_seconds=fetch_seconds) == limit

    def test_feeds_slots_that_are_never_idle(self) -> None:
        """Tasks of 200 ms on 256 slots end 1,280 a second: that many are in flight for two seconds."""
        assert limit_of(capacity=10_000, least=32, slots=256, per_second=1280) == AHEAD_SECONDS * 1280


class TestBudget:
    @pytest.fixture
    def budget(self, ledger: FakeLedger, clock: FrozenClock) -> Budget:
        return Budget(ledger, "ai", capacity=2000, least=32, clock=lambda: clock.milliseconds() / 1000)

    def test_begins_with_the_least(self, budget: Budget) -> None:
        assert budget.room() == 32

    def test_grows_with_the_slots_of_all_workers(self, budget: Budget, ledger: FakeLedger, clock: FrozenClock) -> None:
        ledger.show_slots("one", ["ai", "generic"], 100, 8000)
        ledger.show_slots("other", ["ai"], 28, 8000)
        assert budget.room() == 256
        clock.advance(seconds=9)
        assert budget.room() == 32

    def test_grows_with_what_drains_within_a_second(
        self, budget: Budget, ledger: FakeLedger, clock: FrozenClock
    ) -> None:
        assert budget.room() == 32
        ledger.starts["ai"] = 250
        clock.advance(seconds=0.5)
        assert budget.room() == 1000

    def test_reaches_hundreds_within_two_seconds(self, budget: Budget, ledger: FakeLedger, clock: FrozenClock) -> None:
        """Of a queue that ends all it has in a tenth of a second."""
        reached = []
        for _ in range(4):
            clock.advance(seconds=0.5)
            budget.observe()
            reached.append(budget.limit)
            ledger.starts["ai"] = ledger.starts.get("ai", 0) + min(5 * budget.limit, 200)
        assert reached[0] == 32
        assert reached[-1] >= 500

    def test_grows_though_the_engine_is_slow_and_the_queue_empty_in_between(
        self, budget: Budget, ledger: FakeLedger, clock: FrozenClock
    ) -> None:
        """Each fetch takes 1.9 s, what it brings ends in half a second: the drain is what the budget makes it."""
        for _ in range(6):
            room = budget.room()
            clock.advance(seconds=1.9)
            budget.note_fetch(1.9)
            budget.observe()
            ledger.starts["ai"] = ledger.starts.get("ai", 0) + room
            clock.advance(seconds=0.5)
        assert budget.room() == 2000

    def test_is_less_by_what_is_in_flight(self, budget: Budget, ledger: FakeLedger, clock: FrozenClock) -> None:
        leave = [dispatch_ref(f"task-{number}") for number in range(40)]
        for ref in leave:
            ledger._lease("ai", ref.external_task_id, clock.milliseconds())
        assert budget.room() == -8

    def test_is_no_more_than_the_places_of_every_cap(self, budget: Budget, ledger: FakeLedger) -> None:
        caps = [Cap(name=name, at_once=at_once, queues=("ai",)) for name, at_once in (("one", 5), ("other", 3))]
        ledger.caps = {Topic("ai_query"): caps[:1]}
        ledger._lease("ai", "task-1", 0)
        ledger._take_places("task-1", Topic("ai_query"), "ai")
        assert [budget.room(caps[:1]), budget.room(caps), budget.room()] == [4, 3, 31]
        # What has its files on the way takes a place under a cap, and none of what the queue may have in flight.
        assert [budget.room(caps, bringing=2), budget.room(bringing=2)] == [1, 31]

    def test_looks_at_the_demand_twice_a_second_at_most(
        self, budget: Budget, ledger: FakeLedger, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        demand = ledger.demand

        def counted(queue: str) -> Demand:
            asked.append(queue)
            return demand(queue)

        monkeypatch.setattr(ledger, "demand", counted)
        for _ in range(100):
            budget.room()
            clock.advance(seconds=0.01)
        assert len(asked) == 2

    def test_is_not_guessed_while_redis_is_away(self, budget: Budget, ledger: FakeLedger) -> None:
        ledger.is_down = True
        with pytest.raises(LedgerUnreachableError):
            budget.room()
