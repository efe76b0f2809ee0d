"""Entries of steps that ended are removed beside those who report, many at a time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.ledger_values import Ended
from bridge.settler import MOST_AT_ONCE, Settler
from procos.domain.errors import LedgerUnreachableError
from procos.testing import FakeLedger, dispatch_ref
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.testing import FrozenClock


class SlowLedger(FakeLedger):
    """Closes when the test lets it, and notes how many at a time."""

    def __init__(self, clock: FrozenClock) -> None:
        super().__init__(clock)
        self.may_go_on, self.was_asked = threading.Event(), threading.Event()
        self.batches: list[int] = []
        self._outages: int | None = None

    def come_back_after(self, batches: int) -> None:
        """Be away for so many batches, the one under way included."""
        self._outages = batches

    def close_all(self, ends: Sequence[Ended]) -> list[timedelta | None]:
        """Wait, and close."""
        self.batches.append(len(ends))
        self.was_asked.set()
        assert self.may_go_on.wait(5)
        if self._outages is not None and len(self.batches) > self._outages:
            self.is_down = False
        return super().close_all(ends)


@pytest.fixture
def ledger(clock: FrozenClock) -> SlowLedger:
    return SlowLedger(clock)


def ended(name: str) -> Ended:
    return Ended(ref=dispatch_ref(name), queue="ai", outcome="completed")


def added(settler: Settler, names: Sequence[Any]) -> None:
    for name in names:
        settler.add(ended(f"step-{name}"))


class TestSettler:
    def test_takes_what_has_come_meanwhile_in_one_round_trip(self, ledger: SlowLedger) -> None:
        settler = Settler(ledger)
        added(settler, ["first"])
        assert ledger.was_asked.wait(5)
        added(settler, range(MOST_AT_ONCE + 1))
        ledger.may_go_on.set()
        settler.shut_down()
        assert ledger.batches == [1, MOST_AT_ONCE, 1]
        assert len(ledger.closed) == MOST_AT_ONCE + 2

    def test_goes_on_when_redis_is_back(self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.settler.AGAIN_SECONDS", 0)
        settler = Settler(ledger)
        ledger.is_down = True
        added(settler, ["first"])
        assert ledger.was_asked.wait(5)
        added(settler, ["second"])
        ledger.come_back_after(1)
        ledger.was_asked.clear()
        ledger.may_go_on.set()
        assert ledger.was_asked.wait(5)
        settler.shut_down()
        assert list(ledger.closed) == ["step-first", "step-second"]

    def test_keeps_the_order_of_what_waits_for_redis(self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.settler.AGAIN_SECONDS", 0)
        settler = Settler(ledger)
        ledger.is_down = True
        added(settler, range(MOST_AT_ONCE + 5))
        ledger.come_back_after(2)
        ledger.may_go_on.set()
        wait_until(lambda: len(ledger.closed) == MOST_AT_ONCE + 5, 5, what="everything is settled")
        settler.shut_down()
        assert list(ledger.closed) == [f"step-{number}" for number in range(MOST_AT_ONCE + 5)]

    def test_keeps_no_more_than_fits(self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.settler.MOST_KEPT", 3)
        settler = Settler(ledger)
        added(settler, ["first"])
        assert ledger.was_asked.wait(5)
        added(settler, range(5))
        ledger.may_go_on.set()
        settler.shut_down()
        assert list(ledger.closed) == ["step-first", "step-2", "step-3", "step-4"]

    def test_leaves_the_one_that_redis_refuses_and_settles_the_others(
        self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        close_all = ledger.close_all

        def refuse(ends: Sequence[Ended]) -> list[timedelta | None]:
            if any(end.ref.external_task_id == "step-1" for end in ends):
                raise LedgerUnreachableError("memory", "Cannot serialise number: must not be NaN or Inf")
            return close_all(ends)

        monkeypatch.setattr(ledger, "close_all", refuse)
        ledger.may_go_on.set()
        settler = Settler(ledger)
        added(settler, range(3))
        wait_until(lambda: len(ledger.closed) == 2, 5, what="the others are settled")
        settler.shut_down()
        assert list(ledger.closed) == ["step-0", "step-2"]

    def test_settles_no_more_of_them_alone_when_its_time_is_up(
        self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked, settler = [], Settler(ledger)

        def refuse(ends: Sequence[Ended]) -> list[timedelta | None]:
            asked.append(len(ends))
            if len(ends) == 1:
                assert settler._is_ending.wait(5)
            raise LedgerUnreachableError("memory", "READONLY You can't write against a read only replica.")

        monkeypatch.setattr("bridge.settler.LAST_SECONDS", -1)
        monkeypatch.setattr(ledger, "close_all", refuse)
        added(settler, range(3))
        wait_until(lambda: asked == [3, 1], 5, what="the first is asked for alone")
        settler.shut_down()
        assert asked == [3, 1]

    def test_counts_nothing_twice_when_redis_goes_between_ends_and_signs_of_life(
        self, ledger: SlowLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(_: object) -> None:
            ledger.is_down = True
            ledger.ping()

        counted: list[str] = []
        monkeypatch.setattr("bridge.settler.AGAIN_SECONDS", 0)
        monkeypatch.setattr("bridge.settler.metrics.settled", lambda *ended: counted.append(ended[-1]))
        monkeypatch.setattr(ledger, "mark_parked", gone)
        ledger.reserve([dispatch_ref("step-first")], "ai", timedelta(seconds=20))
        settler = Settler(ledger)
        settler.note_parked(dispatch_ref("another"))
        added(settler, ["first"])
        assert ledger.was_asked.wait(5)
        ledger.come_back_after(1)
        ledger.may_go_on.set()
        wait_until(lambda: ledger.is_down, 5, what="Redis is gone")
        added(settler, ["later"])
        wait_until(lambda: "step-later" in ledger.closed, 5, what="what came later is settled")
        settler.shut_down()
        assert counted == ["completed"]

    def test_tries_a_redis_that_is_away_no_longer_once_it_is_to_end(self, ledger: SlowLedger) -> None:
        settler = Settler(ledger)
        ledger.is_down = True
        added(settler, ["first"])
        assert ledger.was_asked.wait(5)
        added(settler, range(3 * MOST_AT_ONCE))
        ending = threading.Thread(target=settler.shut_down)
        ending.start()
        while not settler._is_ending.is_set():
            ending.join(0.01)
        ledger.may_go_on.set()
        ending.join(5)
        assert not ending.is_alive()
        assert ledger.batches == [1]

    def test_settles_a_report_that_was_under_way_when_it_was_shut_down(self, ledger: SlowLedger) -> None:
        settler = Settler(ledger)
        ledger.may_go_on.set()
        settler.shut_down()
        added(settler, ["late"])
        assert list(ledger.closed) == ["step-late"]

    def test_notes_whose_results_are_put_aside(self, ledger: SlowLedger, clock: FrozenClock) -> None:
        refs = [dispatch_ref(f"step-{number}") for number in range(MOST_AT_ONCE + 1)]
        ledger.reserve(refs, "ai", timedelta(seconds=20))
        clock.advance(seconds=100)
        settler = Settler(ledger)
        for ref in refs:
            settler.note_parked(ref)
        settler.shut_down()
        assert ledger.list_silent("ai", silence=timedelta(seconds=100), age=timedelta(days=1)) == []
        assert ledger.batches == []
