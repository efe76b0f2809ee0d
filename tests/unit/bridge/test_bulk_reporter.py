"""Lists of outcomes: the same rules as one by one, and a bad one costs its neighbours nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.bulk_reporter import BulkReporter
from bridge.fetched import dispatch_of
from bridge.ledger_values import Ended
from bridge.outcomes import Callback
from bridge.reporter import CLOSED_LATER, Reporter, Verdict
from bridge.settler import Settler
from procos.domain.errors import EngineUnreachableError, LedgerUnreachableError, ProcosError
from procos.domain.external_task import Token
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome, Postponement
from procos.engine.subscription import Subscription
from procos.routes import Route
from procos.testing import FakeEngine, FakeLedger, FrozenClock, InstantStop
from procos.testing.samples import HOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.testing import FakeRegistry

DONE = Completion(variables={"answer": 42})
FAILED = Failure(message="no answer", details="a traceback", retry_in=timedelta(seconds=3))
BROKEN = Failure(message="broken", permanent=True)
ASKED = Failure(message="no", retry_in=timedelta(seconds=3), retries=1, variables={"last_error": "no"})
LATER = Postponement(reason="rate limit", retry_in=timedelta(seconds=30))
CAUGHT, UNCAUGHT = BpmnError(code="CAUGHT"), BpmnError(code="UNCAUGHT")
UNWRITABLE = Completion(variables={"answer": object()})
OUTCOMES = {
    "completion": DONE,
    "failure": FAILED,
    "permanent failure": BROKEN,
    "failure with what a model asked for": ASKED,
    "postponement": LATER,
    "error that is caught": CAUGHT,
    "error that is not": UNCAUGHT,
    "completion that cannot be written": UNWRITABLE,
}
LEASE = timedelta(seconds=20)


class World:
    """An engine with steps that are under way, and both ways to report."""

    def __init__(self, routes: Mapping[Topic, Route], registry: FakeRegistry) -> None:
        clock = FrozenClock()
        self.engine, self.ledger = FakeEngine(clock), FakeLedger(clock)
        self.reporter = Reporter(self.engine, self.ledger, routes, is_ours=registry.is_ours, stop=InstantStop(after=20))
        self.bulk = BulkReporter(self.engine, self.ledger, self.reporter)
        self._topic = next(iter(routes))

    def steps(self, count: int) -> list[DispatchRef]:
        """Let instances arrive at a step, and dispatch each."""
        for _ in range(count):
            self.engine.add(str(self._topic), catches=["CAUGHT"])
        subscription = Subscription(topic=self._topic, lock_duration=LEASE)
        tasks = self.engine.fetch_and_lock(HOLDER, [subscription], max_tasks=count, wait=timedelta(0))
        refs = [dispatch_of(task, Route(task_name="t", queue="ai", module="m")).ref for task in tasks]
        self.ledger.reserve(refs, "ai", LEASE)
        self.ledger.mark_published(refs)
        return refs

    def report(self, *outcomes: tuple[DispatchRef, Outcome]) -> list[Verdict | None]:
        """Report a list."""
        verdicts = self.bulk.tell([Callback(ref=ref, outcome=outcome) for ref, outcome in outcomes])
        settler = Settler(self.ledger)
        for (ref, _), verdict in zip(outcomes, verdicts, strict=True):
            if verdict in CLOSED_LATER:
                settler.add(Ended(ref=ref, queue=ref.queue, outcome=verdict.value))
        settler.shut_down()
        return list(verdicts)

    def state(self) -> Mapping[str, Any]:
        """Describe all that a report may have changed."""
        return {
            "engine": (self.engine.completed, self.engine.bpmn_errors, self.engine.incidents),
            "failures": sorted(self.engine.failures, key=lambda failure: failure.external_task_id),
            "open": [(task.id, task.retries, task.lease) for task in self.engine.open_tasks()],
            "entries": {key: (entry.state, entry.token, entry.due_at) for key, entry in self.ledger.entries.items()},
            "ledger": (self.ledger.closed, self.ledger.leases, self.ledger.retries_due),
        }


@pytest.fixture
def make(table: Mapping[Topic, Route], registry: FakeRegistry) -> Callable[[], World]:
    return lambda: World(table, registry)


@pytest.fixture
def world(make: Callable[[], World]) -> World:
    return make()


def gone(world: World, ref: DispatchRef) -> None:
    world.engine.cancel(ref.external_task_id)


def taken_by_a_stranger(world: World, ref: DispatchRef) -> None:
    world.engine.unlock(ref.external_task_id)
    world.engine.lock(ref.external_task_id, "stranger", LEASE)


def suspended(world: World, ref: DispatchRef) -> None:
    world.engine.suspend(ref.external_task_id)


def superseded(world: World, ref: DispatchRef) -> None:
    world.ledger.entries[ref.external_task_id].token = Token(ref.token + 1)


def backing_off(world: World, ref: DispatchRef) -> None:
    world.reporter.report(ref, FAILED)


class TestList:
    @pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
    @pytest.mark.parametrize("trouble", [None, gone, taken_by_a_stranger, suspended, superseded, backing_off])
    def test_ends_as_one_by_one(
        self,
        make: Callable[[], World],
        outcome: Outcome,
        trouble: Callable[[World, DispatchRef], None] | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("bridge.next_try.random.random", lambda: 0.5)
        alone, together = make(), make()
        verdicts = []
        for world in (alone, together):
            refs = world.steps(3)
            if trouble:
                trouble(world, refs[1])
            pairs = [(refs[0], DONE), (refs[1], outcome), (refs[2], FAILED)]
            found = world.report(*pairs) if world is together else [None] * 3
            verdicts.append([verdict or _told(world, *pair) for verdict, pair in zip(found, pairs, strict=True)])
        assert verdicts[0] == verdicts[1]
        assert alone.state() == together.state()

    def test_is_one_call_for_ends_and_one_for_further_tries(self, world: World) -> None:
        refs = world.steps(4)
        outcomes: list[tuple[DispatchRef, Outcome]] = list(zip(refs, [DONE, FAILED, LATER, CAUGHT], strict=True))
        assert world.report(*outcomes) == [Verdict.COMPLETED, Verdict.RETRY, Verdict.POSTPONED, Verdict.BPMN_ERROR]
        assert world.engine.calls == ["fetch_and_lock", "report", "report"]

    def test_leaves_open_what_the_engine_refuses_and_no_more(self, world: World) -> None:
        refs = world.steps(3)
        gone(world, refs[1])
        assert world.report(*[(ref, DONE) for ref in refs]) == [Verdict.COMPLETED, None, Verdict.COMPLETED]
        assert set(world.ledger.closed) == {refs[0].external_task_id, refs[2].external_task_id}

    def test_leaves_open_the_second_outcome_of_a_step(self, world: World) -> None:
        (ref,) = world.steps(1)
        assert world.report((ref, DONE), (replace(ref, token=Token(ref.token - 1)), FAILED)) == [
            Verdict.COMPLETED,
            None,
        ]

    def test_that_no_engine_answers_settles_nothing(self, world: World) -> None:
        refs = world.steps(2)
        world.engine.is_down = True
        with pytest.raises(EngineUnreachableError):
            world.report(*[(ref, DONE) for ref in refs])
        assert world.ledger.closed == {}

    def test_keeps_what_is_settled_when_the_engine_goes_in_its_midst(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = world.steps(2)
        claim = world.ledger.claim_reports

        def claimed(pairs: Any) -> Any:
            world.engine.is_down = True
            return claim(pairs)

        monkeypatch.setattr(world.ledger, "claim_reports", claimed)
        assert world.report((refs[0], DONE), (refs[1], FAILED)) == [Verdict.COMPLETED, None]
        assert set(world.ledger.closed) == {refs[0].external_task_id}

    def test_whose_answer_was_lost_can_be_reported_again(self, world: World) -> None:
        refs = world.steps(2)
        world.engine.lose_answer_of_next()
        with pytest.raises(EngineUnreachableError):
            world.report((refs[0], DONE), (refs[1], FAILED))
        assert world.report((refs[0], DONE), (refs[1], FAILED)) == [None, Verdict.RETRY]
        assert world.reporter.report(refs[0], DONE) is Verdict.COMPLETED
        assert world.engine.open_tasks()[0].retries == 2


class TestWithoutLedger:
    def test_completions_count(self, world: World) -> None:
        refs = world.steps(2)
        world.ledger.is_down = True
        assert world.report(*[(ref, DONE) for ref in refs]) == [Verdict.COMPLETED] * 2

    def test_failures_are_left_open(self, world: World) -> None:
        refs = world.steps(2)
        world.ledger.is_down = True
        assert world.report((refs[0], DONE), (refs[1], FAILED)) == [Verdict.COMPLETED, None]
        assert world.engine.failures == []

    @pytest.mark.parametrize("outcome", [FAILED, BROKEN])
    def test_that_goes_in_the_midst_a_failure_is_left_open(
        self, world: World, outcome: Failure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = world.steps(2)

        def away(*_: object) -> None:
            raise LedgerUnreachableError("memory", "gone")

        monkeypatch.setattr(world.ledger, "close_all", away)
        monkeypatch.setattr(world.ledger, "back_off_all", away)
        assert world.report((refs[0], DONE), (refs[1], outcome)) == [Verdict.COMPLETED, None]
        monkeypatch.undo()
        assert world.reporter.report(refs[1], outcome) is not Verdict.SUPERSEDED
        assert len({failure.retries for failure in world.engine.failures}) == 1


class TestDelay:
    def test_that_a_poller_has_cut_is_restored(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        (ref,) = world.steps(1)
        tell = world.engine.report

        def told_while_a_poller_fetches(reports: Any) -> Any:
            answers = tell(reports)
            world.engine.lock(ref.external_task_id, HOLDER, LEASE)
            world.ledger._lease("ai", ref.external_task_id, world.engine.clock.milliseconds() + 10_000)
            return answers

        monkeypatch.setattr(world.engine, "report", told_while_a_poller_fetches)
        assert world.report((ref, LATER)) == [Verdict.POSTPONED]
        assert [failure.retry_in for failure in world.engine.failures] == [LATER.retry_in] * 2


def _told(world: World, ref: DispatchRef, outcome: Outcome) -> Verdict | str:
    """Report alone; what is to be reported later is told by its error's name."""
    try:
        return world.reporter.report(ref, outcome)
    except ProcosError as error:
        return type(error).__name__


class TestLongest:
    def test_is_what_the_engine_takes_unless_no_lists_are_wanted(self, world: World) -> None:
        world.engine.longest_list = 50
        unwanted = BulkReporter(world.engine, world.ledger, world.reporter, is_wanted=False)

        assert (world.bulk.longest, unwanted.longest) == (50, 0)
