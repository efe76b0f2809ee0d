"""External tasks over the engine's REST API: one method per call."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING

from procos.domain.errors import EngineMisconfiguredError, EngineRejectedError
from procos.domain.external_task import Topic
from procos.engine.wire import (
    LONGEST_MESSAGE,
    external_task_from_json,
    milliseconds,
    storable,
    topic_to_json,
    variables_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.engine.protocol import Subscription
    from procos.engine.transport import Transport


OLDEST_FIRST = [{"sortBy": "createTime", "sortOrder": "asc"}]
"""Among equal priorities; engines before 7.21 ignore it and answer in any order."""


class HttpEngine:
    """The `Engine` protocol over REST; may be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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
        return [external_task_from_json(source) for source in answer]

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        """End the step with its result."""
        self._report(external_task_id, "complete", holder, variables=self._typed(variables))

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
        """Report a failed try; 0 retries make an incident."""
        self._report(
            external_task_id,
            "failure",
            holder,
            errorMessage=storable(message)[:LONGEST_MESSAGE],
            errorDetails=storable(details or message),
            retries=retries,
            retryTimeout=milliseconds(retry_in),
        )

    def raise_bpmn_error(
        self, external_task_id: ExternalTaskId, holder: str, *, code: str, message: str, variables: Mapping[str, object]
    ) -> None:
        """Throw a BPMN error at the step."""
        self._report(
            external_task_id,
            "bpmnError",
            holder,
            errorCode=code,
            errorMessage=storable(message)[:LONGEST_MESSAGE],
            variables=self._typed(variables),
        )

    def extend(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Let a lock that has not run out end `duration` from now."""
        self._report(external_task_id, "extendLock", holder, newDuration=milliseconds(duration))

    def lock(self, external_task_id: ExternalTaskId, holder: str, duration: timedelta) -> None:
        """Take a lock that is free, run out, or the holder's own."""
        self._report(external_task_id, "lock", holder, lockDuration=milliseconds(duration))

    def unlock(self, external_task_id: ExternalTaskId) -> None:
        """Give the external task back, for anybody to fetch."""
        self._transport.post(f"/external-task/{external_task_id}/unlock", {})

    def find(self, external_task_id: ExternalTaskId) -> ExternalTask:
        """Read one external task, without its variables."""
        return external_task_from_json(self._transport.get(f"/external-task/{external_task_id}"))

    def open_topics(self) -> Sequence[Topic]:
        """List the topics of external tasks that nobody holds and that have tries left."""
        answer = self._transport.get(
            "/external-task/topic-names", {"withUnlockedTasks": "true", "withRetriesLeft": "true"}
        )
        return [Topic(str(name)) for name in answer]

    def _report(self, external_task_id: ExternalTaskId, verb: str, holder: str, **fields: object) -> None:
        self._transport.post(f"/external-task/{external_task_id}/{verb}", {"workerId": holder, **fields})

    def _typed(self, variables: Mapping[str, object]) -> dict[str, object]:
        return variables_to_json(variables, json_type=self.knows_json) if variables else {}
