"""The world around the bridges: engine, ledger, broker and workers in memory on one clock, and what must hold in it."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.publisher import Receipt
from bridge.reconciler import MOST_LOSSES
from bridge.reporter import Verdict
from procos import metrics
from procos.caps import caps_of
from procos.domain.errors import LedgerUnreachableError
from procos.domain.external_task import Topic
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome
from procos.ledger_keys import State
from procos.queues import DELIVERY_LIMIT
from procos.testing import FakeEngine, FakeLedger, FrozenClock, Register
from tests.conservation import read_books
from tests.properties.bridge_model import BridgeModel, Plan
from tests.properties.broker_model import BrokerModel
from tests.properties.steps import CAUGHT, MOST_STARTS, POLICY, ROUTES, Step
from tests.properties.worker_model import WorkerModel, completion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.caps import Cap
    from procos.domain.dispatch import DispatchRef
    from procos.domain.errors import ProcosError
    from procos.domain.external_task import ExternalTask
    from procos.engine.reports import Fail
    from procos.engine.subscription import Subscription

HEALING_SECONDS = 280
"""Less than a lock lasts: whatever is forgotten by everybody would only come back when its lock has run out."""
TOLD_WITHIN = 15_000
"""Milliseconds in which whoever runs a cancelled step is told, when time passes in steps of up to 5 s."""


class WatchedEngine(FakeEngine):
    """Tells the world what is fetched."""

    world: World

    def fetch_and_lock(
        self, holder: str, subscriptions: Sequence[Subscription], *, max_tasks: int, wait: timedelta
    ) -> Sequence[ExternalTask]:
        self.clock.advance(seconds=0.001)  # no two fetches at one moment
        fetched = super().fetch_and_lock(holder, subscriptions, max_tasks=max_tasks, wait=wait)
        self.world.note_fetched(fetched)
        return fetched

    def _take_failure(self, report: Fail, task: ExternalTask) -> None:
        super()._take_failure(report, task)
        self.world.steps[task.id].failed_at = self.clock.milliseconds()


class RevokerModel:
    """Celery's revoke: every worker remembers."""

    def __init__(self, world: World) -> None:
        self._world = world

    def revoke(self, celery_ids: Sequence[str]) -> None:
        self._world.revoked.update(celery_ids)


class World:
    """Everything, on one clock."""

    lock = timedelta(seconds=300)
    lost_after = timedelta(seconds=60)
    largest_age = timedelta(hours=2)
    no_wait = timedelta(0)
    capacity = 4
    most_starts = MOST_STARTS
    routes = ROUTES

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.engine = WatchedEngine(self.clock)
        self.engine.world = self
        self.caps = caps_of(ROUTES)
        self.ledger = FakeLedger(self.clock, self.caps)
        self.register = Register(clock=self.clock)
        queues = sorted({route.queue for route in ROUTES.values()})
        self.broker = BrokerModel(self.clock, queues)
        self.revoked: set[str] = set()
        self.revoker = RevokerModel(self)
        self.steps: dict[str, Step] = {}
        self.workers = [WorkerModel(self, queue, f"{queue}-{number}") for queue in queues for number in (1, 2)]
        self.bridges: dict[str, BridgeModel] = {}
        self.plans: deque[Plan] = deque()
        self.was_refused = False
        """The engine was made to refuse calls, so a turn may end in that."""
        self.capacity_excused = False
        self.was_flushed = False
        """What may wait for its retry is left until its lock runs out."""
        self.troubled_at = self.clock.milliseconds()
        self.books = read_books(metrics.exposition())
        self.keeps_books = True
        """Until a bridge is killed, or Redis forgets."""
        self.start_bridge("a")

    # What happens

    def add_step(self, topic: str) -> None:
        task_id = self.engine.add(topic, catches=[CAUGHT])
        self.steps[task_id] = Step(task_id, Topic(topic))

    def start_bridge(self, replica_id: str) -> None:
        if replica_id not in self.bridges or not self.bridges[replica_id].is_up:
            self.bridges[replica_id] = BridgeModel(self, replica_id)
            self.bridges[replica_id].begin()

    def living(self) -> list[BridgeModel]:
        return [bridge for bridge in self.bridges.values() if bridge.is_up]

    def next_publish_plan(self, ref: DispatchRef) -> Plan:
        plan = self.plans.popleft() if self.plans else Plan()
        if plan.receipt is Receipt.UNKNOWN and plan.arrives:
            self.steps[ref.external_task_id].copies += 1
        if plan.receipt is Receipt.REFUSED:
            self.steps[ref.external_task_id].was_given_back = True
        return plan

    def store(self, celery_id: str, meta: Mapping[str, Any]) -> None:
        if self.ledger.is_down:
            raise LedgerUnreachableError("memory", "connection refused")
        self.ledger.results[celery_id] = meta

    def seconds(self) -> float:
        """Tell the time to whoever measures how long something took."""
        return self.clock.milliseconds() / 1000

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody but the bridges' periodic jobs."""
        self.clock.advance(seconds=seconds)
        self.broker.return_parked()
        for worker in self.workers:
            worker.live()
        for worker in self.workers:
            worker.look()

    def advance(self, seconds: float) -> None:
        """Let time pass, with every periodic job in its turn."""
        left, step = seconds, 1.0 if seconds <= 60 else 5.0
        while left > 0:
            self.pass_time(min(left, step))
            left -= step
            for bridge in self.living():
                bridge.run_due()
                bridge.look_into_dead_letters()
            if self.is_troubled():
                self.note_trouble()
        self._check_told()

    def stall(self) -> None:
        """Let time pass in which no bridge does anything: locks run out."""
        self.pass_time(70)
        self.note_trouble()

    def poll_all(self) -> None:
        for bridge in self.living():
            for queue in self.broker.task_queues:
                bridge.poll(queue)

    def work_all(self) -> None:
        """Let the workers finish what they have, and take what waits."""
        for worker in self.workers:
            worker.stop_for_cancellation()
            worker.finish(completion())
            worker.take()

    def all_take(self) -> None:
        """Let the workers take what waits."""
        for worker in self.workers:
            worker.take()

    def all_do(self, job: str) -> None:
        """Do a periodic job in every bridge now."""
        for bridge in self.living():
            bridge.do(job)

    def report_all(self) -> None:
        for bridge in self.living():
            for _ in range(len(bridge.held) + len(self.broker.ready["callbacks"])):
                bridge.report()

    def redis_down(self, *, down: bool = True) -> None:
        self.ledger.is_down = self.register.is_down = down
        self.note_redis_fault()

    def flush(self) -> None:
        self.ledger.flush()
        self.ledger.results.clear()
        self.register.flush()
        self.capacity_excused = self.was_flushed = True
        self.note_redis_fault()

    def lose_message(self, queue: str) -> None:
        message = self.broker.lose(queue)
        if message is not None:
            step = self.steps[message.step_id]
            step.lost_messages += 1
            step.excuses += 1

    def refuse(self, answers: Sequence[ProcosError | None]) -> None:
        self.engine.refuse_next(*answers)
        self.was_refused = True
        self.note_trouble()

    def cancel(self, which: int) -> None:
        if tasks := self.engine.open_tasks():
            task = tasks[which % len(tasks)]
            self.engine.cancel(task.id)
            self.steps[task.id].cancelled_at = self.clock.milliseconds()

    def suspend(self, which: int, *, suspended: bool) -> None:
        if tasks := self.engine.open_tasks():
            task = tasks[which % len(tasks)]
            self.engine.suspend(task.id, suspended=suspended)
            self.steps[task.id].was_suspended = True

    def set_retries(self, retries: int) -> None:
        for task in self.engine.open_tasks():
            if task.retries == 0:
                self.engine.set_retries(task.id, retries)
                self.steps[task.id].resets += 1
                return

    # What is noted

    def note_redis_fault(self) -> None:
        self.note_trouble()
        self.keeps_books = False
        for step in self.steps.values():
            step.is_unbounded = True

    def note_trouble(self) -> None:
        self.troubled_at = self.clock.milliseconds()

    def is_troubled(self) -> bool:
        return self.engine.is_down or self.ledger.is_down or not any(bridge.is_ready for bridge in self.living())

    def excuse(self, task_id: str, *, deaths: int = 0) -> None:
        self.steps[task_id].excuses += 1
        self.steps[task_id].deaths += deaths

    def note_run(self, ref: DispatchRef) -> None:
        step = self.steps[ref.external_task_id]
        step.runs += 1
        if self.ledger.is_down:
            step.is_unbounded = True

    def note_outcome(self, ref: DispatchRef, outcome: Outcome) -> None:
        step = self.steps[ref.external_task_id]
        if isinstance(outcome, Failure):
            step.failed_runs += 1
            step.hard_failures += outcome.permanent
        if isinstance(outcome, BpmnError) and outcome.code != CAUGHT:
            step.hard_failures += 1

    def note_reported(self, ref: DispatchRef, outcome: Outcome, verdict: Verdict) -> None:
        """Nothing is acknowledged before it is reported: a completion whose step is open has become an incident."""
        task = self.open_task(ref.external_task_id)
        if isinstance(outcome, Completion) and verdict is not Verdict.SUPERSEDED:
            assert task is None or task.retries == 0, f"the result of {task} was acknowledged unreported"

    def note_fetched(self, fetched: Sequence[ExternalTask]) -> None:
        """Leases keep a running step from being fetched, once nothing was wrong for as long as a lock lasts."""
        if self.clock.milliseconds() - self.troubled_at <= self.lock.total_seconds() * 1100:
            return
        running = {w.job.ref.external_task_id: w for w in self.workers if w.job and w.job.is_running and w.is_well}
        for task in fetched:
            step, runs_on = self.steps[task.id], running.get(task.id)
            if runs_on is None or runs_on.job is None or step.failed_at >= runs_on.job.started_at:
                continue  # another run of it has been reported meanwhile
            if step.is_unbounded or step.was_given_back or step.copies or step.was_suspended or step.hard_failures:
                continue
            raise AssertionError(f"{task.id} runs on {runs_on.name} and was fetched all the same")

    def reference(self) -> DispatchRef:
        """Return the first dispatch that is in flight."""
        return next(entry.ref for queue in self.broker.task_queues for entry in self.ledger.list_in_flight(queue))

    def open_task(self, task_id: str) -> ExternalTask | None:
        return next((task for task in self.engine.open_tasks() if task.id == task_id), None)

    # What must hold

    def check(self) -> None:
        taken: dict[str, int] = {}
        for failure in self.engine.failures:
            taken[failure.external_task_id] = taken.get(failure.external_task_id, 0) + (failure.retries > 0)
        for step in self.steps.values():
            self._check_runs(step, taken.get(step.id, 0))
        for task in self.engine.open_tasks():
            self._check_retries(task)
        for queue in self.broker.task_queues:
            count = len(self.ledger.leases.get(queue, {}))
            assert count <= self.capacity or self.capacity_excused, f"{count} in flight on {queue}"
        for cap in {cap for caps in self.caps.values() for cap in caps}:
            self._check_cap(cap)

    def _check_cap(self, cap: Cap) -> None:
        """No order of events makes more of a cap; only what is found running after it was thought lost is not asked."""
        in_flight = {task_id for queue in cap.queues for task_id in self.ledger.leases.get(queue, {})}
        well = {task_id for task_id, entry in self.ledger.entries.items() if task_id in in_flight and not entry.losses}
        capped = [task_id for task_id in well if cap in self.caps.get(self.steps[task_id].topic, ())]
        assert len(capped) <= cap.at_once or self.was_flushed, f"{capped} take the places of {cap}"

    def _check_runs(self, step: Step, tries_taken: int) -> None:
        most = 1 + tries_taken + step.excuses + step.resets
        if step.hard_failures or not self.routes[step.topic].store_result:
            # A copy is taken for one that was replayed, after an incident; without a result it knows of no end at all.
            most += step.copies
        if not self.routes[step.topic].store_result:
            most += step.times_parked  # one that is stored nowhere shows itself only while Redis answers
        assert step.is_unbounded or step.runs <= most, f"there is reason for {most} runs: {step}"

    def _check_retries(self, task: ExternalTask) -> None:
        step = self.steps[task.id]
        if task.retries and not step.resets:
            burnt = POLICY.attempts - task.retries
            assert burnt <= step.failed_runs, f"{burnt} retries are gone after {step.failed_runs} failed runs: {step}"

    def _check_told(self) -> None:
        """Whoever runs a step that was cancelled learns of it."""
        now = self.clock.milliseconds()
        for worker in self.workers:
            job = worker.job
            if job is None or not job.is_running or job.rest or job.is_cancelled or not worker.is_well:
                continue
            cancelled_at = self.steps[job.ref.external_task_id].cancelled_at
            since = None if cancelled_at is None else max(cancelled_at, self.troubled_at, job.started_at)
            assert since is None or now - since < TOLD_WITHIN, f"nobody told {worker.name} that its step was cancelled"

    # How it ends

    def heal(self) -> None:
        """Mend everything, let time pass, and see that every step ends."""
        self.engine.have_no_faults()
        self.ledger.is_down = self.register.is_down = False
        self.plans.clear()
        for task in self.engine.open_tasks():
            self.engine.suspend(task.id, suspended=False)
        for worker in self.workers:
            worker.freeze(frozen=False)
        for bridge in self.living():
            bridge.disarm()
        started = self.clock.milliseconds()
        seconds = HEALING_SECONDS + (self.lock.total_seconds() if self.was_flushed else 0)
        while not self.is_quiet() and self.clock.milliseconds() - started < seconds * 1000:
            self.start_bridge("a")
            self.poll_all()
            self.work_all()
            self.report_all()
            self.advance(5)
            self.check()
        self._check_end()

    def is_quiet(self) -> bool:
        waiting = [task for task in self.engine.open_tasks() if task.retries != 0]
        in_flight = any(leases for leases in self.ledger.leases.values())
        return not waiting and self.broker.is_empty() and not in_flight

    def _check_end(self) -> None:
        stuck = [task for task in self.engine.open_tasks() if task.retries != 0]
        assert not stuck, f"stuck: {stuck}, {[self.ledger.entries.get(task.id) for task in stuck]}"
        assert self.broker.is_empty(), f"messages are left: {self.broker.ready}, {self.broker.parked}"
        assert not any(self.ledger.leases.values()), f"leases are left: {self.ledger.leases}"
        for task_id, text in self.engine.incidents.items():
            self._check_incident(self.steps[task_id], text)
        if self.keeps_books:
            self._check_books()

    def _check_books(self) -> None:
        """What was fetched is settled, dropped with a reason, or open."""
        books = read_books(metrics.exposition()) - self.books
        still_open = sum(entry.state is not State.BACKING_OFF for entry in self.ledger.entries.values())
        assert books.are_balanced(still_open=still_open), f"{books} and {still_open} open do not add up"

    def _check_incident(self, step: Step, text: str) -> None:
        faults = step.excuses + step.lost_messages
        reason = (
            step.is_unbounded
            or step.hard_failures > 0
            or step.failed_runs >= POLICY.attempts
            or ("disappeared without a result" in text and faults >= MOST_LOSSES)
            or ("was delivered" in text and faults > DELIVERY_LIMIT)
            or ("started too often" in text and step.deaths >= MOST_STARTS)
            or "no outcome within" in text
        )
        assert reason, f"an incident nothing explains: {text!r} of {step}"
        assert not step.has_result, f"finished work was lost: {text!r} of {step}"
