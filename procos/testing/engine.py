"""An engine in memory: the rules of a Camunda 7 engine that the bridge relies on, on a clock of the test's own.

Only workerId equality is checked when an outcome is reported, so an expired lock still completes; a failure keeps the
workerId and turns the lock into the retry timer; extending refuses what has expired, locking takes it. Errors are made
by `procos.engine.faults` from the engine's own words. The contract cases run against this and a real engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from procos.domain.errors import EngineError, VariableError
from procos.domain.external_task import ExternalTask, ExternalTaskId, Lease, Topic
from procos.engine.reports import Complete, Fail, Throw, variables_of
from procos.engine.wire import LONGEST_MESSAGE, variables_to_json
from procos.testing.calls import LIST, Calls
from procos.testing.clock import FrozenClock
from procos.testing.fetches import as_fetched, check_files, content_of, is_meant
from procos.testing.refusals import NOTHING, check_fetch, not_yours, refused, uncaught
from procos.testing.samples import external_task, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from procos.domain.variables import TypedValue
    from procos.engine.bulk import Refusal
    from procos.engine.reports import Report
    from procos.engine.subscription import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFailure:
    """What /failure was told."""

    message: str
    details: str
    retries: int
    retry_in: timedelta
    external_task_id: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)


class FakeEngine(Calls):
    """The `Engine` protocol in memory; what was reported stands in its dicts, by external task id."""

    def __init__(self, clock: FrozenClock | None = None, *, knows_json: bool = True, longest_list: int = 0) -> None:
        super().__init__(clock or FrozenClock())
        self.knows_json, self.longest_list = knows_json, longest_list
        self.completed: dict[str, Mapping[str, object]] = {}
        self.bpmn_errors: dict[str, str] = {}
        self.incidents: dict[str, str] = {}
        self.failures: list[ReportedFailure] = []
        self._open: dict[ExternalTaskId, ExternalTask] = {}
        self._catches: dict[ExternalTaskId, Callable[[str], bool]] = {}
        self._tenants: dict[ExternalTaskId, str | None] = {}
        self._numbers = count(1)

    def add(
        self,
        topic: str = "ai_query",
        *,
        variables: Mapping[str, TypedValue] | None = None,
        priority: int = 0,
        business_key: str | None = None,
        catches: Iterable[str] | Callable[[str], bool] = (),
        process_key: str = "sample",
        tenant: str | None = None,
        extension_properties: Mapping[str, str] | None = None,
    ) -> ExternalTaskId:
        """Let a process instance arrive at a step; `catches` are the BPMN errors its model catches."""
        task = external_task(
            f"task-{next(self._numbers)}",
            topic=topic,
            lease=None,
            variables=variables,
            priority=priority,
            business_key=business_key,
            process_key=process_key,
            extension_properties=extension_properties,
        )
        self._open[task.id] = task
        self._tenants[task.id] = tenant
        self._catches[task.id] = catches if callable(catches) else frozenset(catches).__contains__
        return task.id

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        """Let the step end otherwise: deleted, or cancelled by a boundary event."""
        self._end(external_task_id)

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        """Suspend the process instance of a step, or activate it again."""
        self._open[external_task_id] = replace(self._open[external_task_id], suspended=suspended)

    def set_retries(self, external_task_id: ExternalTaskId, retries: int) -> None:
        """Do what an operator does after mending a cause: more than 0 resolve the incident; the lock stays."""
        self._set_retries(self._found(external_task_id), retries, "set by an operator")

    def open_tasks(self) -> Sequence[ExternalTask]:
        """List every step that has not ended; no call of the bridge's."""
        return list(self._open.values())

    def fetch_and_lock(
        self, holder: str, subscriptions: Sequence[Subscription], *, max_tasks: int, wait: timedelta
    ) -> Sequence[ExternalTask]:
        """Lock what is eligible, highest priority first, then oldest first; never waits."""
        with self._call("fetch_and_lock"):
            check_fetch(subscriptions, wait)
            wanted = {subscription.topic: subscription for subscription in subscriptions}
            eligible = [
                task
                for task in self._open.values()
                if task.topic in wanted
                and self._is_eligible(task)
                and is_meant(task, self._tenants[task.id], wanted[task.topic].only)
            ]
            eligible.sort(key=lambda task: -task.priority)
            return [self._locked(task, holder, wanted[task.topic]) for task in eligible[:max_tasks]]

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        """End the step, if the holder is the one the engine has; its lock may have run out."""
        variables_to_json(variables, json_type=self.knows_json)  # raises for what the real client could not write
        with self._call("complete"):
            self._take(Complete(external_task_id=external_task_id, holder=holder, variables=variables))

    def fail(
        self,
        external_task_id: ExternalTaskId,
        holder: str,
        *,
        message: str,
        details: str,
        retries: int,
        retry_in: timedelta,
        variables: Mapping[str, object] | None = None,
    ) -> None:
        """Turn the lock into the retry timer; with 0 retries make an incident."""
        variables_to_json(variables or {}, json_type=self.knows_json)  # raises for what the real client could not write
        with self._call("fail"):
            self._take(Fail(
                external_task_id=external_task_id, holder=holder, message=message, details=details,
                retries=retries, retry_in=retry_in, variables=variables or {},
            ))  # fmt: skip

    def raise_bpmn_error(
        self, external_task_id: ExternalTaskId, holder: str, *, code: str, message: str, variables: Mapping[str, object]
    ) -> None:
        """Throw a BPMN error; one that nothing catches is refused, as our engine is set up to do."""
        variables_to_json(variables, json_type=self.knows_json)  # raises for what the real client could not write
        with self._call("raise_bpmn_error"):
            self._take(
                Throw(external_task_id=external_task_id, holder=holder, code=code, message=message, variables=variables)
            )

    def report(self, reports: Sequence[Report]) -> Sequence[Refusal | None]:
        """Take a list, each report as if it came alone."""
        with self._call(LIST):
            return [self._answer(report) for report in reports]

    def extend(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Let a lock that has not run out end `duration` from now."""
        with self._call("extend"):
            task = self._held(external_task_id, holder, "extended")
            if task.lease and task.lease.expires < self.clock.now():
                raise refused(400, f"Cannot extend a lock that expired on {task.lease.expires}")
            self._lock(task, holder, duration)

    def lock(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Take a lock that is free, run out, or the holder's own."""
        with self._call("lock"):
            task = self._found(external_task_id)
            if self._is_locked(task) and task.lease and task.lease.holder != holder:
                raise not_yours(task, holder, "locked")
            self._lock(task, holder, duration)

    def unlock(self, external_task_id: ExternalTaskId) -> None:
        """Clear the lock, whoever asks."""
        with self._call("unlock"):
            self._open[external_task_id] = replace(self._found(external_task_id), lease=None)

    def find(self, external_task_id: ExternalTaskId) -> ExternalTask:
        """Read one external task, without its variables."""
        with self._call("find"):
            return replace(self._found(external_task_id), variables={})

    def held_by(self, holder: str) -> Sequence[ExternalTask]:
        """List every external task whose last lock is the holder's, run out or not, without their variables."""
        with self._call("held_by"):
            held = [task for task in self._open.values() if task.lease and task.lease.holder == holder]
            return [replace(task, variables={}) for task in sorted(held, key=lambda task: task.id)]

    def which_exist(self, external_task_ids: Collection[ExternalTaskId]) -> frozenset[ExternalTaskId]:
        """Tell which of these are still open."""
        with self._call("which_exist"):
            return frozenset(external_task_ids) & self._open.keys()

    def has_completed(self, external_task_id: ExternalTaskId) -> bool:
        """Whether the step was completed, rather than cancelled or ended by a BPMN error."""
        with self._call("has_completed"):
            return external_task_id in self.completed

    def content(self, task: ExternalTask, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read piece by piece what is in a File or Bytes variable that a fetched step sees."""
        with self._call("content"):
            return content_of(self._found(task.id), name)

    def open_topics(self) -> Sequence[Topic]:
        """List the topics of external tasks that nobody holds and that have tries left."""
        with self._call("open_topics"):
            return sorted({t.topic for t in self._open.values() if not self._is_locked(t) and t.retries != 0})

    def _answer(self, report: Report) -> Refusal | None:
        try:
            variables_to_json(variables_of(report), json_type=self.knows_json)
            if refusal := self._refusal():
                raise refusal
            self._take(report)
        except (EngineError, VariableError) as refused:
            return refused
        return None

    def _take(self, report: Report) -> None:
        match report:
            case Complete():
                self._held(report.external_task_id, report.holder, "completed")
                check_files(report.variables)
                self.completed[report.external_task_id] = dict(report.variables)
                self._end(report.external_task_id)
            case Fail():
                self._take_failure(report, self._held(report.external_task_id, report.holder, "failed"))
            case Throw():
                self._held(report.external_task_id, report.holder, "ended")
                if not self._catches[report.external_task_id](report.code):
                    raise uncaught(report)
                self.bpmn_errors[report.external_task_id] = report.code
                self._end(report.external_task_id)

    def _take_failure(self, report: Fail, task: ExternalTask) -> None:
        if report.retries < 0 or report.retry_in < NOTHING:
            raise refused(500, "retries and retryTimeout must not be negative", kind="ProcessEngineException")
        message = report.message[:LONGEST_MESSAGE]
        failure = ReportedFailure(
            message=message,
            details=report.details or message,
            retries=report.retries,
            retry_in=report.retry_in,
            external_task_id=task.id,
            variables=report.variables,
        )
        self.failures.append(failure)
        lease = Lease(holder=report.holder, expires=self.clock.now() + report.retry_in)
        variables = {**task.variables, **typed(**report.variables)}
        self._set_retries(replace(task, lease=lease, variables=variables), report.retries, message)

    def _is_locked(self, task: ExternalTask) -> bool:
        return task.lease is not None and task.lease.expires > self.clock.now()

    def _is_eligible(self, task: ExternalTask) -> bool:
        return not self._is_locked(task) and not task.suspended and task.retries != 0

    def _locked(self, task: ExternalTask, holder: str, subscription: Subscription) -> ExternalTask:
        return as_fetched(self._lock(task, holder, subscription.lock_duration), subscription)

    def _lock(self, task: ExternalTask, holder: str, duration: timedelta) -> ExternalTask:
        if duration <= NOTHING:
            raise refused(400, "a lock's duration must be greater than 0")
        locked = replace(task, lease=Lease(holder=holder, expires=self.clock.now() + duration))
        self._open[task.id] = locked
        return locked

    def _set_retries(self, task: ExternalTask, retries: int, message: str) -> None:
        if retries > 0:
            self.incidents.pop(task.id, None)
        elif task.retries != 0:
            self.incidents[task.id] = message
        self._open[task.id] = replace(task, retries=retries)

    def _found(self, external_task_id: ExternalTaskId) -> ExternalTask:
        try:
            return self._open[external_task_id]
        except KeyError:
            raise refused(404, f"External task with id {external_task_id} does not exist") from None

    def _held(self, external_task_id: ExternalTaskId, holder: str, verb: str) -> ExternalTask:
        task = self._found(external_task_id)
        if task.lease is None or task.lease.holder != holder:
            raise not_yours(task, holder, verb)
        if task.suspended:
            raise refused(400, f"ExternalTask {external_task_id} is suspended")
        return task

    def _end(self, external_task_id: ExternalTaskId) -> None:
        del self._open[external_task_id]
        self.incidents.pop(external_task_id, None)
