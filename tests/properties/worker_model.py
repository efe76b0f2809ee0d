"""Celery workers in memory: one slot each, late acknowledgement, and the very questions `tasks.starts` puts.

A run goes through what Celery does after a task has ended: for a success callback, stored result, acknowledgement; for
a failure stored result, callback, acknowledgement. A worker may die or lose its connection between any two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from procos.domain.dispatch import DispatchRef
from procos.domain.errors import LedgerUnreachableError
from procos.domain.outcome import Completion, Failure, failure_to_json, to_envelope
from tasks.starts import LOOK_SECONDS, LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.outcome import Outcome
    from tests.properties.broker_model import Message
    from tests.properties.world import World

NOT_WANTED, RUNS_ELSEWHERE = -1, -2
PATIENCE_MILLISECONDS = round(LOOK_SECONDS * LOOKS * 1000)
_runs = count(1)


@dataclass(slots=True, eq=False)
class Job:
    """A message in a worker's hands."""

    message: Message
    ref: DispatchRef
    run: str = field(default_factory=lambda: f"run {next(_runs)}")
    seen_at: int | None = None
    """Where another run was alive: when it had shown itself last."""
    waits_since: int = 0
    is_running: bool = False
    started_at: int = 0
    is_cancelled: bool = False
    rest: list[Callable[[], None]] = field(default_factory=list)
    """What is left to be done after its function has ended."""


class WorkerModel:
    """One worker process with one slot."""

    def __init__(self, world: World, queue: str, name: str) -> None:
        self.world, self.queue, self.name = world, queue, name
        self.job: Job | None = None
        self.is_frozen = False
        self.is_connected = True

    @property
    def is_well(self) -> bool:
        """Whether it shows its runs, and its acknowledgements arrive."""
        return not self.is_frozen and self.is_connected

    def take(self) -> None:
        """Take the next message, if there is room."""
        if self.job is not None or self.is_frozen:
            return
        message = self.world.broker.take(self.queue, self)
        if message is None:
            return
        self.is_connected = True
        if message.celery_id in self.world.revoked:
            self.world.store(message.celery_id, {"status": "REVOKED", "result": {"exc_message": ["revoked"]}})
            self.world.broker.acknowledge(message, self)
            return
        self.job = Job(message, DispatchRef.from_json(message.kwargs["dispatch"]))
        self._ask()

    def _ask(self, *, dead_since: int | None = None) -> None:
        assert self.job is not None
        job, ledger = self.job, self.world.ledger
        try:
            answer = ledger.mark_started(job.ref, self.name, run=job.run, dead_since=dead_since)
        except LedgerUnreachableError:
            answer = (0,)
        if answer[0] == RUNS_ELSEWHERE and job.seen_at is None:
            job.seen_at, job.waits_since = answer[1], self.world.clock.milliseconds()
        elif answer == (RUNS_ELSEWHERE, job.seen_at) and dead_since is None:
            return
        elif answer[0] in {NOT_WANTED, RUNS_ELSEWHERE}:
            self._let_go()
        elif answer[0] > self.world.most_starts:
            job.is_running = True
            self.finish(Failure(message="started too often", code="STARTED_TOO_OFTEN", permanent=True))
        else:
            job.is_running, job.seen_at, job.started_at = True, None, self.world.clock.milliseconds()
            self.world.note_run(job.ref)

    def live(self) -> None:
        """Do what happens by itself once a second: a sign of life, and what Redis had held up."""
        if self.job is None or self.is_frozen:
            return
        if self.job.is_running:
            self._show()
            self._go_on()

    def look(self) -> None:
        """Ask again whether the other run of this dispatch is alive; long silence means that it is not."""
        job = self.job
        if job is None or job.is_running or self.is_frozen:
            return
        self._ask()
        is_waiting = self.job is job and not job.is_running
        if is_waiting and self.world.clock.milliseconds() - job.waits_since >= PATIENCE_MILLISECONDS:
            self._ask(dead_since=job.seen_at)

    def _show(self) -> None:
        assert self.job is not None
        try:
            if self.world.ledger.mark_alive(self.job.ref, self.name, run=self.job.run):
                self.job.is_cancelled = True
        except LedgerUnreachableError:
            return

    def finish(self, outcome: Outcome, *, actions: int | None = None) -> None:
        """Let the function end, and do so many of what follows; None does all."""
        job = self.job
        if job is None or not job.is_running or self.is_frozen:
            return
        if not job.rest:
            self.world.note_outcome(job.ref, outcome)
            job.rest = self._after(job, outcome)
        self._go_on(actions)

    def stop_for_cancellation(self) -> None:
        """Let the function end without outcome, if it was told that nobody waits for one."""
        if self.job is not None and self.job.is_cancelled and not self.job.rest and not self.is_frozen:
            self._let_go()

    def _after(self, job: Job, outcome: Outcome) -> list[Callable[[], None]]:
        dispatch, celery_id = job.message.kwargs["dispatch"], job.message.celery_id
        if isinstance(outcome, Failure):
            result = {"exc_type": "TaskFailed", "exc_message": [failure_to_json(outcome)]}
            meta: dict[str, Any] = {"status": "FAILURE", "result": result}
            return [
                lambda: self.world.store(celery_id, meta),
                lambda: self.world.broker.send_callback(dispatch, celery_id, None),
                self._let_go,
            ]
        envelope = dict(to_envelope(outcome).fields)
        stores = self.world.routes[job.ref.topic].store_result
        return [
            lambda: self.world.broker.send_callback(dispatch, celery_id, envelope),
            *([lambda: self.world.store(celery_id, {"status": "SUCCESS", "result": envelope})] if stores else []),
            self._let_go,
        ]

    def _go_on(self, actions: int | None = None) -> None:
        while self.job is not None and self.job.rest and actions != 0:
            try:
                self.job.rest[0]()
            except LedgerUnreachableError:
                return
            if self.job is not None:
                self.job.rest.pop(0)
            actions = None if actions is None else actions - 1

    def _let_go(self) -> None:
        assert self.job is not None
        self.world.broker.acknowledge(self.job.message, self)
        self.job = None

    def die(self) -> None:
        """End at once; another process takes its place."""
        if self.job is not None:
            self.world.excuse(self.job.ref.external_task_id, deaths=1)
        self.world.broker.release(self)
        self.job, self.is_frozen, self.is_connected = None, False, True

    def lose_connection(self) -> None:
        """Go on working while the broker delivers the message again."""
        if self.job is not None and self.world.broker.release(self):
            self.world.excuse(self.job.ref.external_task_id)
            self.is_connected = False

    def freeze(self, *, frozen: bool = True) -> None:
        """Stop doing anything, as a virtual machine does that is moved."""
        if frozen and self.job is not None:
            self.world.excuse(self.job.ref.external_task_id)
        self.is_frozen = frozen


def completion() -> Completion:
    """Return what a task that did its work returns."""
    return Completion(variables={"done": True})
