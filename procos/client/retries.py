"""Gives steps that wait for a person their retries back: which incidents are meant, and what became of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from procos.domain.errors import EngineRejectedError, TaskGoneError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.domain.retry import RetryPolicy
from procos.engine.http import HttpEngine
from procos.engine.incidents import Incidents
from procos.engine.processes import Processes
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from procos.engine.incidents import OpenIncident
    from procos.engine.transport import Transport

AN_ID = re.compile(r"[\w:.-]*\w")
NOBODYS = "neither a process instance nor an open external task has this id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What was done about one step, or why nothing was."""

    wanted: str
    """The id it was asked for by."""
    incident: OpenIncident | None = None
    retries: int | None = None
    trouble: str = ""


def retry_each(
    transport: Transport, ids: Sequence[str], *, process: str | None = None, retries: int | None = None
) -> Iterator[Retried]:
    """Retry the incidents of these instances and external tasks, without ids every one; yields each as it is done.

    Without `retries` a step gets the attempts of its route.
    """
    incidents = Incidents(transport)
    for found in _wanted(transport, ids, process):
        yield found if found.trouble else _retried(incidents, found, retries)


def _wanted(transport: Transport, ids: Sequence[str], key: str | None) -> Iterator[Retried]:
    """Find the incidents that are meant, each once."""
    found = [each for each in Incidents(transport).open() if key is None or key in each.processes]
    if not ids:
        yield from (Retried(wanted=each.id, incident=each) for each in found)
        return
    taken: set[str] = set()
    for wanted in dict.fromkeys(ids):
        meant = [each for each in found if wanted == each.external_task_id or wanted in each.instances]
        if not meant:
            yield Retried(wanted=wanted, trouble=_why_nothing(transport, wanted))
        yield from (Retried(wanted=wanted, incident=each) for each in meant if each.id not in taken)
        taken.update(each.id for each in meant)


def _retried(incidents: Incidents, found: Retried, wanted: int | None) -> Retried:
    incident = found.incident
    assert incident is not None  # noqa: S101  # whatever has no trouble has an incident
    if incident.retried_by is None:
        return replace(found, trouble=f"cannot be retried: it is a {incident.kind}")
    retries = wanted or _attempts(incident)
    try:
        incidents.retry(incident, retries)
    except (TaskGoneError, EngineRejectedError) as refusal:
        return replace(found, trouble=str(refusal))
    return replace(found, retries=retries)


def _attempts(incident: OpenIncident) -> int:
    route = routes().get(incident.topic) if incident.topic else None
    return (route.retry if route else RetryPolicy()).attempts


def _why_nothing(transport: Transport, wanted: str) -> str:
    if not AN_ID.fullmatch(wanted):
        return NOBODYS
    try:
        task = HttpEngine(transport).find(ExternalTaskId(wanted))
    except (TaskGoneError, EngineRejectedError):
        return _why_no_instance(transport, wanted)
    left = "retries as its route says" if task.retries is None else f"{task.retries} retries left"
    return f"this external task has no incident; it has {left}"


def _why_no_instance(transport: Transport, wanted: str) -> str:
    instance = Processes(transport).find_instance(ProcessInstanceId(wanted))
    if instance is None:
        return NOBODYS
    if instance.has_ended:
        return f"this instance of {instance.key} has ended: {instance.state}"
    return f"this instance of {instance.key} has no open incident"
