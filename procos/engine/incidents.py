"""Where instances wait for a person, and how they are let go on: the incidents of an engine, and their retries.

An incident in a called process is repeated by the engine in every process above it. Here each stands once, where it
happened, and knows the instances and processes it holds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.domain.variables import parse_date
from procos.engine.paths import path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from procos.engine.transport import Transport

PAGE = 500
EXTERNAL_TASK, JOB = "failedExternalTask", "failedJob"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """A step that waits for a person: an external task or a job without retries, or what a model made of its own."""

    id: str
    kind: str
    process_key: str
    process_instance_id: ProcessInstanceId
    business_key: str | None
    activity_id: str
    topic: Topic | None
    external_task_id: ExternalTaskId | None
    job_id: str | None
    since: datetime
    message: str
    instances: frozenset[str]
    """The instance itself, and those that called it."""
    processes: frozenset[str]
    """The keys of their processes."""

    @property
    def retried_by(self) -> str | None:
        """The path of what can be tried again, or None."""
        if self.external_task_id:
            return path("external-task", self.external_task_id)
        return path("job", self.job_id) if self.job_id else None


class Incidents:
    """The open incidents."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def open(self) -> Sequence[OpenIncident]:
        """List every open incident, oldest first."""
        rows = list(self._pages())
        instances = self._by_id("/process-instance", "processInstanceIds", [row["processInstanceId"] for row in rows])
        own = [row for row in rows if row["causeIncidentId"] == row["id"]]
        tasks = self._by_id("/external-task", "externalTaskIdIn", [r["configuration"] for r in own if _is_task(r)])
        waiting = _by_cause(rows)
        found = [_incident(row, instances, tasks.get(row["configuration"], {}), waiting[row["id"]]) for row in own]
        return sorted(found, key=lambda incident: incident.since)

    def retry(self, incident: OpenIncident, retries: int) -> None:
        """Give the step retries, so that it is tried again and the incident ends.

        Raises:
            TaskGoneError, EngineRejectedError: the step is gone.
        """
        assert incident.retried_by is not None  # noqa: S101  # asked before, since there is something to say to people
        self._transport.put(f"{incident.retried_by}/retries", {"retries": retries})

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        first = 0
        while True:
            page = {"firstResult": first, "maxResults": PAGE, "sortBy": "incidentId", "sortOrder": "asc"}
            rows = self._transport.get("/incident", page)
            yield from rows
            if len(rows) < PAGE:
                return
            first += PAGE

    def _by_id(self, where: str, field: str, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        wanted = sorted(set(ids))
        parts = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]
        return {row["id"]: row for part in parts for row in self._transport.post(where, {field: part})}


def _is_task(row: Mapping[str, Any]) -> bool:
    return row["incidentType"] == EXTERNAL_TASK and bool(row["configuration"])


def _by_cause(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, list[Mapping[str, Any]]]:
    """Gather, by root cause, the incidents of the processes that wait for it, its own included."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["rootCauseIncidentId"], []).append(row)
    return found


def _key(row: Mapping[str, Any], instances: Mapping[str, Mapping[str, Any]]) -> str:
    named = instances.get(row["processInstanceId"], {}).get("definitionKey")
    # Older engines do not name the key; the id they give a definition begins with it.
    return str(named or str(row["processDefinitionId"]).partition(":")[0])


def _incident(
    row: Mapping[str, Any],
    instances: Mapping[str, Mapping[str, Any]],
    task: Mapping[str, Any],
    waiting: Sequence[Mapping[str, Any]],
) -> OpenIncident:
    kind, about = row["incidentType"], row["configuration"]
    return OpenIncident(
        id=row["id"],
        kind=kind,
        process_key=_key(row, instances),
        process_instance_id=ProcessInstanceId(row["processInstanceId"]),
        business_key=instances.get(row["processInstanceId"], {}).get("businessKey"),
        activity_id=row["failedActivityId"] or row["activityId"],
        topic=Topic(task["topicName"]) if task else None,
        external_task_id=ExternalTaskId(about) if about and kind == EXTERNAL_TASK else None,
        job_id=about if kind == JOB else None,
        since=parse_date("incidentTimestamp", row["incidentTimestamp"]),
        message=row["incidentMessage"] or "",
        instances=frozenset(each["processInstanceId"] for each in waiting),
        processes=frozenset(_key(each, instances) for each in waiting),
    )
