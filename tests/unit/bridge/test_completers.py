"""Which results go alone, which in lists, and how many lists at once."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.completers import LARGEST_LIST, MOST_LISTS, Completers, Handled, ListDone
from bridge.disposals import Disposal
from procos.domain.dispatch import DispatchRef
from procos.domain.errors import LedgerUnreachableError
from procos.domain.outcome import Completion, to_envelope
from procos.engine.faults import Answer, fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.bulk_reporter import BulkReporter
    from bridge.reporter import Reporter
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

ENVELOPE = dict(to_envelope(Completion()).fields)
LONGEST = 3


class Instantly:
    """A thread that has done what it is handed at once."""

    def submit(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do it."""
        work(*arguments)


class Lab:
    """Completers whose threads work when the test says so."""

    def __init__(self, reporter: Reporter, bulk: BulkReporter, ledger: FakeLedger) -> None:
        self.returned: list[Handled] = []
        self._calls: deque[Callable[[], object]] = deque()
        self.completers = Completers(reporter, bulk, ledger, threads=2, hand_back=self._take_back)
        self.completers._pool = self.completers._singles = self  # type: ignore[assignment]  # as much as is used
        self.completers._settler._pool = Instantly()  # type: ignore[assignment]  # the same

    def submit(self, work: Callable[..., object], *arguments: Any) -> None:
        """Keep it for later."""
        self._calls.append(lambda: work(*arguments))

    def send(self, *messages: Any) -> None:
        """Bring messages, and let go what may."""
        for message in messages:
            self.completers.take(1, message)
        self.completers.send_off()

    def work(self, jobs: int = 100) -> int:
        """Let the threads do so many jobs, and those do theirs that follow from them; returns how many there were."""
        done = 0
        while self._calls and done < jobs:
            self._calls.popleft()()
            done += 1
        return done

    def _take_back(self, returned: Sequence[Handled | ListDone]) -> None:
        for each in returned:
            if isinstance(each, ListDone):
                self.completers.list_done()
            else:
                self.returned.append(each)
        self.completers.send_off()

    def disposals(self) -> list[Disposal]:
        return [handled.decision.disposal for handled in self.returned]


@pytest.fixture
def lab(reporter: Reporter, bulk: BulkReporter, ledger: FakeLedger, engine: FakeEngine) -> Lab:
    engine.longest_list = LONGEST
    return Lab(reporter, bulk, ledger)


@pytest.fixture
def result(
    engine: FakeEngine, in_flight: Callable[..., DispatchRef], message: Callable[..., Any]
) -> Callable[..., Any]:
    def arrive(body: bytes = b"{}", payload: object = None, task: str = "procos.complete", **headers: object) -> Any:
        engine.add()
        argument: object = ENVELOPE if task == "procos.complete" else "id"
        return message(task, payload or ([argument], {"dispatch": in_flight().to_json()}, {}), body, **headers)

    return arrive


class TestLists:
    def test_do_not_exist_where_the_engine_takes_none(
        self, lab: Lab, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        engine.longest_list = 0
        lab.send(result(), result())
        assert lab.work() == 2
        assert engine.calls.count("complete") == 2

    def test_have_the_entries_of_what_ended_closed(
        self, lab: Lab, result: Callable[..., Any], ledger: FakeLedger
    ) -> None:
        lab.send(result(), result())
        assert lab.work() == 1
        assert (list(ledger.closed.values()), ledger.entries) == (["completed"] * 2, {})

    def test_wait_for_nothing(self, lab: Lab, result: Callable[..., Any], engine: FakeEngine) -> None:
        lab.send(result())
        assert lab.work() == 1
        assert engine.calls[-1] == "report"
        assert lab.disposals() == [Disposal.ACKNOWLEDGE]

    def test_are_as_long_as_the_engine_takes_them(
        self, lab: Lab, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        lab.send(*[result() for _ in range(7)])
        assert lab.work() == 3
        assert engine.calls.count("report") == 3
        assert lab.disposals() == [Disposal.ACKNOWLEDGE] * 7

    def test_form_of_what_arrives_while_the_most_are_on_their_way(
        self, lab: Lab, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        for _ in range(MOST_LISTS):
            lab.send(result())
        lab.send(result())
        lab.send(result())
        assert lab.work(MOST_LISTS) == MOST_LISTS
        assert lab.work() == 1, "the two that had to wait went together"
        assert engine.calls.count("report") == MOST_LISTS + 1

    def test_do_not_mix_failures_with_completions(self, lab: Lab, result: Callable[..., Any]) -> None:
        failures = [result(task="procos.fail") for _ in range(2)]
        completions = [result() for _ in range(2)]
        lab.send(failures[0], completions[0], failures[1], completions[1])
        assert lab.work(2) == 2
        assert [handled.message for handled in lab.returned] == [*failures, *completions]

    def test_are_bounded_in_bytes(self, lab: Lab, result: Callable[..., Any]) -> None:
        large = b"x" * (LARGEST_LIST // 2 + 1)
        lab.send(result(large), result(large), result())
        assert lab.work() == 2

    def test_end_when_the_engine_takes_none_any_more(
        self, lab: Lab, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        for _ in range(MOST_LISTS):
            lab.send(result())
        lab.send(result(), result())
        engine.longest_list = 0
        assert lab.work() == MOST_LISTS + 2
        assert engine.calls.count("complete") == 2


class TestBadItem:
    def test_costs_its_neighbours_nothing(self, lab: Lab, result: Callable[..., Any], engine: FakeEngine) -> None:
        messages = [result(), result(), result()]
        engine.refuse_next(None, fault(Answer(status=401), address="engine"), None)
        lab.send(*messages)
        assert lab.work(1) == 1
        assert [handled.message for handled in lab.returned] == [messages[0], messages[2]]
        assert lab.work() == 1
        assert lab.disposals() == [Disposal.ACKNOWLEDGE] * 3

    def test_that_cannot_be_read_is_a_dead_letter(self, lab: Lab, result: Callable[..., Any]) -> None:
        lab.send(result(), result(payload="garbage"))
        lab.work()
        assert lab.disposals() == [Disposal.ACKNOWLEDGE, Disposal.DEAD_LETTER]

    def test_that_was_parked_goes_alone(self, lab: Lab, result: Callable[..., Any], engine: FakeEngine) -> None:
        lab.send(result(**{"procos-parked": 1}))
        assert lab.work() == 2
        assert engine.calls[-1] == "complete"


class TestTrouble:
    def test_of_the_engine_holds_the_whole_list(self, lab: Lab, result: Callable[..., Any], engine: FakeEngine) -> None:
        messages = [result(), result()]
        engine.is_down = True
        lab.send(*messages)
        assert lab.work() == 1
        assert lab.disposals() == [Disposal.HOLD] * 2

    def test_that_is_a_defect_of_ours_has_each_reported_alone(
        self, lab: Lab, result: Callable[..., Any], bulk: BulkReporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages = [result(), result()]
        monkeypatch.setattr(bulk, "tell", lambda _: 1 // 0)
        lab.send(*messages)
        assert lab.work() == 3
        assert lab.disposals() == [Disposal.ACKNOWLEDGE] * 2

    def test_is_a_sign_of_life_of_a_result_that_is_put_aside(
        self, lab: Lab, result: Callable[..., Any], engine: FakeEngine, ledger: FakeLedger, clock: FrozenClock
    ) -> None:
        waiting, silent = result(**{"procos-parked": 1}), result()
        clock.advance(seconds=100)
        engine.suspend(DispatchRef.from_json(waiting.decode()[1]["dispatch"]).external_task_id)
        lab.send(waiting)
        lab.work()
        assert lab.disposals() == [Disposal.PARK]
        (left,) = ledger.list_silent("ai", silence=timedelta(seconds=100), age=timedelta(days=1))
        assert left.ref.to_json() == silent.decode()[1]["dispatch"]

    def test_of_redis_is_met_once_in_a_list_of_failures(
        self, lab: Lab, result: Callable[..., Any], ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def away(celery_id: str) -> None:
            asked.append(celery_id)
            raise LedgerUnreachableError("memory", "gone")

        messages = [result(task="procos.fail"), result(task="procos.fail")]
        monkeypatch.setattr(ledger, "stored_result", away)
        lab.send(*messages)
        lab.work(1)
        assert len(asked) == 1
        lab.work()
        assert lab.disposals() == [Disposal.PARK] * 2

    def test_of_a_broken_connection_drops_what_waits(self, lab: Lab, result: Callable[..., Any]) -> None:
        for _ in range(MOST_LISTS):
            lab.send(result())
        lab.send(result())
        lab.completers.forget()
        assert lab.work() == MOST_LISTS
