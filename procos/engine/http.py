"""External tasks over the engine's REST API: one method per call."""

from __future__ import annotations

import uuid
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from procos.domain.errors import (
    EngineDeniedError,
    EngineError,
    EngineMisconfiguredError,
    EngineRejectedError,
    UnreachableError,
)
from procos.domain.external_task import ExternalTaskId, Topic
from procos.domain.variables import as_typed
from procos.engine.bulk import BulkReports
from procos.engine.contents import content_of
from procos.engine.faults import COLUMN_SIZE
from procos.engine.input_constants import InputConstants
from procos.engine.long_texts import as_objects, has_long_texts, too_long
from procos.engine.paths import path
from procos.engine.reports import Complete, Fail, Throw, fields_of, variables_of
from procos.engine.torn import is_torn
from procos.engine.uncaught import REFUSES_UNCAUGHT, UncaughtErrors
from procos.engine.wire import (
    count_from_json,
    external_task_from_json,
    external_tasks_from_json,
    ids_from_json,
    milliseconds,
    topic_to_json,
)
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from procos.domain.external_task import ExternalTask, ProcessInstanceId
    from procos.domain.variables import TypedValue
    from procos.engine.bulk import Refusal
    from procos.engine.reports import Report
    from procos.engine.subscription import Subscription
    from procos.engine.transport import Transport

log = get_logger(__name__)

OLDEST_FIRST = [{"sortBy": "createTime", "sortOrder": "asc"}]
"""Among equal priorities; engines before 7.21 ignore it and answer in any order."""

BY_ID = [{"sortBy": "id", "sortOrder": "asc"}]
PAGE = 500
"""External tasks of one list, and ids of one question: 500 of either take the engine 12 to 40 ms."""


class HttpEngine:
    """The `Engine` protocol over REST; may be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._uncaught = UncaughtErrors(transport)
        self._bulk = BulkReports(transport)
        self._inputs = InputConstants(transport)

    @cached_property
    def knows_json(self) -> bool:
        """Whether the engine has Spin, and with it the variable type `Json`.

        Found out by correlating a message nobody waits for: an engine without Spin refuses the variable's type first.
        """
        probe = {
            "messageName": f"procos.probe.{uuid.uuid4()}",
            "processVariables": {"probe": {"type": "Json", "value": "{}"}},
        }
        try:
            self._transport.post("/message", probe)
        except EngineRejectedError as refusal:
            return "Unsupported value type" not in str(refusal)
        return True

    @property
    def refuses_uncaught(self) -> bool:
        """Whether the engine says that it refuses BPMN errors nobody catches."""
        return self._transport.announced(REFUSES_UNCAUGHT) == "true"

    @property
    def longest_list(self) -> int:
        """How many reports the engine takes in one call; 0 where it takes none in lists."""
        return self._bulk.longest if self._transport.heard(REFUSES_UNCAUGHT) == "true" else 0

    def version(self) -> str:
        """Return the engine's version, such as 7.24.0."""
        answer = self._transport.get("/version")
        if not isinstance(answer, dict) or "version" not in answer:
            raise EngineMisconfiguredError(f"{self._transport.address}/version does not name a version")
        return str(answer["version"])

    def fetch_and_lock(
        self, holder: str, subscriptions: Sequence[Subscription], *, max_tasks: int, wait: timedelta
    ) -> Sequence[ExternalTask]:
        """Lock up to `max_tasks` for `holder`, highest priority and oldest first; waits up to `wait` for the first."""
        body: dict[str, object] = {
            "workerId": holder,
            "maxTasks": max_tasks,
            "usePriority": True,
            "sorting": OLDEST_FIRST,
            "topics": [topic_to_json(subscription) for subscription in subscriptions],
        }
        if wait:
            body["asyncResponseTimeout"] = milliseconds(wait)
        answer = self._transport.post("/external-task/fetchAndLock", body, wait=wait.total_seconds())
        tasks, by_topic = external_tasks_from_json(answer), {each.topic: each for each in subscriptions}
        return [task for task in tasks if not self._is_given_back(task, by_topic[task.topic])]

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        """End the step with its result."""
        self._tell(Complete(external_task_id=external_task_id, holder=holder, variables=variables))

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
        """Report a failed try; 0 retries make an incident."""
        self._tell(
            Fail(
                external_task_id=external_task_id,
                holder=holder,
                message=message,
                details=details,
                retries=retries,
                retry_in=retry_in,
                variables=variables or {},
            )
        )

    def raise_bpmn_error(
        self, external_task_id: ExternalTaskId, holder: str, *, code: str, message: str, variables: Mapping[str, object]
    ) -> None:
        """Throw a BPMN error at the step.

        Raises:
            EngineRejectedError: nothing catches it; said by engines that refuse such an error, else by the model.
        """
        if not self.refuses_uncaught:
            self._uncaught.refuse(external_task_id, code)
        self._tell(
            Throw(external_task_id=external_task_id, holder=holder, code=code, message=message, variables=variables)
        )

    def report(self, reports: Sequence[Report]) -> Sequence[Refusal | None]:
        """Report up to `longest_list` in one call; returns for each why it was refused, None if the engine took it.

        A text that is too long for its column is refused here; reported alone, it is sent another way.

        Raises:
            EngineUnreachableError, EngineBusyError: nothing is known of any.
        """
        return self._bulk.send(reports, json_type=self.knows_json)

    def extend(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Let a lock that has not run out end `duration` from now."""
        self._command(external_task_id, "extendLock", {"workerId": holder, "newDuration": milliseconds(duration)})

    def lock(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Take a lock that is free, run out, or the holder's own."""
        self._command(external_task_id, "lock", {"workerId": holder, "lockDuration": milliseconds(duration)})

    def unlock(self, external_task_id: ExternalTaskId) -> None:
        """Give the external task back, for anybody to fetch."""
        self._command(external_task_id, "unlock", {})

    def find(self, external_task_id: ExternalTaskId) -> ExternalTask:
        """Read one external task, without its variables."""
        return external_task_from_json(self._transport.get(path("external-task", external_task_id)))

    def held_by(self, holder: str) -> Sequence[ExternalTask]:
        """List every external task whose last lock is the holder's, run out or not, without their variables."""
        return list(self._listed({"workerId": holder, "sorting": BY_ID}))

    def which_exist(self, external_task_ids: Collection[ExternalTaskId]) -> frozenset[ExternalTaskId]:
        """Tell which of these are still open, in few requests."""
        ids = sorted(external_task_ids)
        parts = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
        return frozenset(
            task_id for part in parts for task_id in ids_from_json(self._rows({"externalTaskIdIn": part}, 0))
        )

    def input_constants(self, task: ExternalTask) -> Mapping[str, str]:
        """Return the input parameters of a step that its model sets to a constant text, and these texts."""
        return self._inputs.of(task)

    def has_completed(self, external_task_id: ExternalTaskId) -> bool:
        """Whether history says that the step was completed, rather than cancelled or ended by a BPMN error.

        An engine that keeps no such record (history level below `full`), or does not show it, is taken to say no.
        """
        question = {"externalTaskId": external_task_id, "successLog": "true"}
        try:
            return count_from_json(self._transport.get("/history/external-task-log/count", question)) > 0
        except (EngineDeniedError, EngineMisconfiguredError, EngineRejectedError) as refusal:
            log.debug("history.not_shown", reason=str(refusal))
            return False

    def open_topics(self) -> Sequence[Topic]:
        """List the topics of external tasks that nobody holds and that have tries left."""
        answer = self._transport.get(
            "/external-task/topic-names", {"withUnlockedTasks": "true", "withRetriesLeft": "true"}
        )
        return [Topic(str(name)) for name in answer]

    def content(self, task: ExternalTask, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read piece by piece what is in a File or Bytes variable that a fetched step sees.

        Raises:
            EngineRejectedError: the variable is gone.
        """
        return content_of(self._transport, task, name)

    def _command(self, external_task_id: ExternalTaskId, verb: str, fields: Mapping[str, object]) -> None:
        self._transport.command(path("external-task", external_task_id, verb), fields)

    def _listed(self, question: Mapping[str, object]) -> Iterator[ExternalTask]:
        first, known = 0, set[ExternalTaskId]()
        while rows := self._page(question, first):
            if known.issuperset(row.id for row in rows):  # else whatever answers like this is asked for ever
                address = self._transport.address
                raise EngineMisconfiguredError(f"{address} answers every page of a list with the same external tasks")
            yield from rows
            if len(rows) < PAGE:
                return
            first, known = first + PAGE, known.union(row.id for row in rows)

    def _page(self, question: Mapping[str, object], first: int) -> Sequence[ExternalTask]:
        return external_tasks_from_json(self._rows(question, first))

    def _rows(self, question: Mapping[str, object], first: int) -> object:
        return self._transport.post("/external-task", question, params={"firstResult": first, "maxResults": PAGE})

    def _is_given_back(self, task: ExternalTask, subscription: Subscription) -> bool:
        """Unlock a task whose variables the engine has missed, so that the next fetch brings both."""
        if not is_torn(task, subscription, self._variables_of):
            return False
        log.warning("external_task.torn", external_task_id=task.id, topic=task.topic)
        with suppress(EngineError, UnreachableError):  # then it is offered when its lock has run out
            self.unlock(task.id)
        return True

    def _variables_of(self, instance_id: ProcessInstanceId) -> object:
        return self._transport.get(path("process-instance", instance_id, "variables"), {"deserializeValues": "false"})

    def _tell(self, report: Report) -> None:
        """Send a report; texts that do not fit their column are sent once more as objects."""
        typed = self._typed(variables_of(report))

        def send(written: Mapping[str, TypedValue]) -> None:
            self._command(report.external_task_id, report.verb, fields_of(report, written))

        try:
            send(typed)
        except EngineRejectedError as refusal:
            if refusal.code != COLUMN_SIZE:
                raise
            if not (self.knows_json and has_long_texts(typed)):
                raise too_long(typed, refusal) from refusal
            try:
                send(as_objects(typed))
            except EngineRejectedError as again:
                raise too_long(typed, refusal) from again

    def _typed(self, variables: Mapping[str, object]) -> dict[str, TypedValue]:
        return {name: as_typed(name, value, json_type=self.knows_json) for name, value in variables.items()}
