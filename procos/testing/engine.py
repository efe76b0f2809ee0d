"""An engine in memory: the rules of a Camunda 7 engine that the bridge relies on, on a clock of the test's own.

Only workerId equality is checked when an outcome is reported, so an expired lock still completes; a failure keeps the
workerId and turns the lock into the retry timer; extending refuses what has expired, locking takes it. Errors are made
by `procos.engine.faults` from the engine's own words. The contract cases run against this and a real engine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from procos.domain.errors import EngineUnreachableError
from procos.domain.external_task import ExternalTask, ExternalTaskId, Lease, Topic
from procos.engine.faults import Answer, fault
from procos.engine.wire import LONGEST_MESSAGE, variables_to_json
from procos.testing.clock import FrozenClock
from procos.testing.samples import external_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from procos.domain.errors import EngineError, ProcosError
    from procos.domain.variables import TypedValue
    from procos.engine.protocol import Subscription

ADDRESS = "http://engine.test/engine-rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFailure:
    """What /failure was told."""

    message: str
    details: str
    retries: int
    retry_in: timedelta


class FakeEngine:
    """The `Engine` protocol in memory; what was reported stands in its dicts, by external task id."""

    def __init__(self, clock: FrozenClock | None = None, *, knows_json: bool = True) -> None:
        self.clock = clock or FrozenClock()
        self.knows_json = knows_json
        self.is_down = False
        self.completed: dict[str, Mapping[str, object]] = {}
        self.bpmn_errors: dict[str, str] = {}
        self.incidents: dict[str, str] = {}
        self.failures: list[ReportedFailure] = []
        self.calls: list[str] = []
        self._open: dict[ExternalTaskId, ExternalTask] = {}
        self._catches: dict[ExternalTaskId, frozenset[str]] = {}
        self._refusals: deque[ProcosError | None] = deque()
        self._numbers = count(1)

    def add(
        self,
        topic: str = "ai_query",
        *,
        variables: Mapping[str, TypedValue] | None = None,
        priority: int = 0,
        business_key: str | None = None,
        catches: Iterable[str] = (),
    ) -> ExternalTaskId:
        """Let a process instance arrive at a step; `catches` are the codes its boundary events catch."""
        task = external_task(
            f"task-{next(self._numbers)}",
            topic=topic,
            lease=None,
            variables=variables,
            priority=priority,
            business_key=business_key,
        )
        self._open[task.id] = task
        self._catches[task.id] = frozenset(catches)
        return task.id

    def refuse_next(self, *answers: ProcosError | None) -> None:
        """Raise these in the next calls, one each; None lets a call pass."""
        self._refusals.extend(answers)

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        """Let the step end otherwise: deleted, or cancelled by a boundary event."""
        del self._open[external_task_id]

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        """Suspend the process instance of a step, or activate it again."""
        self._open[external_task_id] = replace(self._open[external_task_id], suspended=suspended)

    def fetch_and_lock(
        self, holder: str, subscriptions: Sequence[Subscription], *, max_tasks: int, wait: timedelta
    ) -> Sequence[ExternalTask]:
        """Lock what is eligible, highest priority first; never waits."""
        self._begin("fetch_and_lock")
        if wait < timedelta(0):
            raise _refused(500, "asyncResponseTimeout is negative", kind="InvalidRequestException")
        wanted = {subscription.topic: subscription for subscription in subscriptions}
        eligible = [task for task in self._open.values() if task.topic in wanted and self._is_eligible(task)]
        eligible.sort(key=lambda task: -task.priority)
        return [self._locked(task, holder, wanted[task.topic]) for task in eligible[:max_tasks]]

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        """End the step, if the holder is the one the engine has; its lock may have run out."""
        self._begin("complete")
        variables_to_json(variables, json_type=self.knows_json)  # raises for what the real client could not write
        self._held(external_task_id, holder, "completed")
        self.completed[external_task_id] = dict(variables)
        self._end(external_task_id)

    def fail(
        self,
        external_task_id: ExternalTaskId,
        holder: str,
        *,
        message: str,
        details: str,
        retries: int,
        retry_in: timedelta,
    ) -> None:
        """Turn the lock into the retry timer; with 0 retries make an incident."""
        self._begin("fail")
        task = self._held(external_task_id, holder, "failed")
        if retries < 0 or retry_in < timedelta(0):
            raise _refused(500, "retries and retryTimeout must not be negative", kind="ProcessEngineException")
        message = message[:LONGEST_MESSAGE]
        self.failures.append(
            ReportedFailure(message=message, details=details or message, retries=retries, retry_in=retry_in)
        )
        if retries == 0 and task.retries != 0:
            self.incidents[external_task_id] = message
        lease = Lease(holder=holder, expires=self.clock.now() + retry_in)
        self._open[external_task_id] = replace(task, retries=retries, lease=lease)

    def raise_bpmn_error(
        self, external_task_id: ExternalTaskId, holder: str, *, code: str, message: str, variables: Mapping[str, object]
    ) -> None:
        """Throw a BPMN error; one that nothing catches is refused, as our engine is set up to do."""
        self._begin("raise_bpmn_error")
        variables_to_json(variables, json_type=self.knows_json)  # raises for what the real client could not write
        self._held(external_task_id, holder, "ended")
        if code not in self._catches[external_task_id]:
            text = f"ENGINE-13033 Propagation of bpmn error {code} ({message}) failed: not caught by anything"
            raise _refused(500, text, kind="ProcessEngineException", code=0)
        self.bpmn_errors[external_task_id] = code
        self._end(external_task_id)

    def extend(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Let a lock that has not run out end `duration` from now."""
        self._begin("extend")
        task = self._held(external_task_id, holder, "extended")
        if task.lease and task.lease.expires < self.clock.now():
            raise _refused(400, f"Cannot extend a lock that expired on {task.lease.expires}")
        self._lock(task, holder, duration)

    def lock(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Take a lock that is free, run out, or the holder's own."""
        self._begin("lock")
        task = self._found(external_task_id)
        if self._is_locked(task) and task.lease and task.lease.holder != holder:
            raise _not_yours(task, holder, "locked")
        self._lock(task, holder, duration)

    def unlock(self, external_task_id: ExternalTaskId) -> None:
        """Clear the lock, whoever asks."""
        self._begin("unlock")
        self._open[external_task_id] = replace(self._found(external_task_id), lease=None)

    def find(self, external_task_id: ExternalTaskId) -> ExternalTask:
        """Read one external task, without its variables."""
        self._begin("find")
        return replace(self._found(external_task_id), variables={})

    def open_topics(self) -> Sequence[Topic]:
        """List the topics of external tasks that nobody holds and that have tries left."""
        self._begin("open_topics")
        return sorted({t.topic for t in self._open.values() if not self._is_locked(t) and t.retries != 0})

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if self.is_down:
            raise EngineUnreachableError(ADDRESS, "connection refused")
        if self._refusals and (refusal := self._refusals.popleft()):
            raise refusal

    def _is_locked(self, task: ExternalTask) -> bool:
        return task.lease is not None and task.lease.expires > self.clock.now()

    def _is_eligible(self, task: ExternalTask) -> bool:
        return not self._is_locked(task) and not task.suspended and task.retries != 0

    def _locked(self, task: ExternalTask, holder: str, subscription: Subscription) -> ExternalTask:
        task = self._lock(task, holder, subscription.lock_duration)
        if subscription.variables is None:
            return task
        return replace(task, variables={k: v for k, v in task.variables.items() if k in subscription.variables})

    def _lock(self, task: ExternalTask, holder: str, duration: timedelta) -> ExternalTask:
        if duration <= timedelta(0):
            raise _refused(400, "a lock's duration must be greater than 0")
        locked = replace(task, lease=Lease(holder=holder, expires=self.clock.now() + duration))
        self._open[task.id] = locked
        return locked

    def _found(self, external_task_id: ExternalTaskId) -> ExternalTask:
        try:
            return self._open[external_task_id]
        except KeyError:
            raise _refused(404, f"External task with id {external_task_id} does not exist") from None

    def _held(self, external_task_id: ExternalTaskId, holder: str, verb: str) -> ExternalTask:
        task = self._found(external_task_id)
        if task.lease is None or task.lease.holder != holder:
            raise _not_yours(task, holder, verb)
        if task.suspended:
            raise _refused(400, f"ExternalTask {external_task_id} is suspended")
        return task

    def _end(self, external_task_id: ExternalTaskId) -> None:
        del self._open[external_task_id]


def _not_yours(task: ExternalTask, holder: str, verb: str) -> EngineError:
    other = task.lease.holder if task.lease else "null"
    return _refused(
        400, f"External Task {task.id} cannot be {verb} by worker '{holder}'. It is locked by worker '{other}'."
    )


def _refused(status: int, message: str, *, kind: str = "RestException", code: int | None = None) -> EngineError:
    return fault(Answer(status=status, kind=kind, message=message, code=code), address=ADDRESS)
