"""`procos retry`: gives steps that wait for a person their retries back, so that they are tried again."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from procos.cli.environment import settings
from procos.cli.incidents import one_line
from procos.domain.errors import EngineRejectedError, TaskGoneError, UsageError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.domain.retry import RetryPolicy
from procos.engine.http import HttpEngine
from procos.engine.incidents import Incidents
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from procos.engine.incidents import OpenIncident

MOST_RETRIES = 1000
AN_ID = re.compile(r"[\w:.-]*\w")
NOBODYS = "neither a process instance nor an open external task has this id"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deed:
    """What was done about one step, or why nothing was."""

    wanted: str
    incident: OpenIncident | None = None
    retries: int | None = None
    trouble: str = ""


@click.command()
@click.argument("ids", nargs=-1, metavar="[INSTANCE_OR_EXTERNAL_TASK_ID]...")
@click.option("--all", "everything", is_flag=True, help="Every step that `procos incidents` lists.")
@click.option("--process", "key", metavar="KEY", help="With --all: only what holds up instances of this process.")
@click.option(
    "--retries", type=click.IntRange(1, MOST_RETRIES), help="How often to try; default: the attempts of the route."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def retry(*, ids: tuple[str, ...], everything: bool, key: str | None, retries: int | None, as_json: bool) -> None:
    """Try steps again that wait for a person; all of an instance, or one by its external task."""
    if bool(ids) == everything or (key is not None and not everything):
        raise UsageError("name instances or external tasks, or --all, which may be narrowed by --process")
    chosen = settings()
    transport = Transport(chosen.engine)
    deeds = []
    for wanted in _wanted(transport, ids, key):
        deed = wanted if wanted.trouble else _retried(Incidents(transport), wanted, retries)
        deeds.append(deed)
        if not as_json:  # as it is done: the next one may find the engine gone
            Console(highlight=False).print(_line(deed), soft_wrap=True)
    if as_json:
        click.echo(json.dumps([_document(deed) for deed in deeds], indent=2, ensure_ascii=False))
    else:
        click.echo(_summary(deeds, chosen.bridge.poll_timeout), err=True)
    sys.exit(0 if deeds and not any(deed.trouble for deed in deeds) else 1)


def _wanted(transport: Transport, ids: Sequence[str], key: str | None) -> Iterator[_Deed]:
    """Find the incidents that are meant, each once."""
    found = Incidents(transport).open()
    if not ids:
        yield from (_Deed(wanted=each.id, incident=each) for each in found if key is None or key in each.processes)
        return
    taken: set[str] = set()
    for wanted in dict.fromkeys(ids):
        meant = [each for each in found if wanted == each.external_task_id or wanted in each.instances]
        if not meant:
            yield _Deed(wanted=wanted, trouble=_why_nothing(transport, wanted))
        yield from (_Deed(wanted=wanted, incident=each) for each in meant if each.id not in taken)
        taken.update(each.id for each in meant)


def _retried(incidents: Incidents, deed: _Deed, wanted: int | None) -> _Deed:
    incident = deed.incident
    assert incident is not None  # noqa: S101  # whatever has no trouble has an incident
    if incident.retried_by is None:
        return _Deed(wanted=deed.wanted, incident=incident, trouble=f"cannot be retried: it is a {incident.kind}")
    retries = wanted or _attempts(incident)
    try:
        incidents.retry(incident, retries)
    except (TaskGoneError, EngineRejectedError) as refusal:
        return _Deed(wanted=deed.wanted, incident=incident, trouble=str(refusal))
    return _Deed(wanted=deed.wanted, incident=incident, retries=retries)


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


def _summary(deeds: Sequence[_Deed], seconds: float) -> str:
    done = sum(not deed.trouble for deed in deeds)
    if not done:
        return "nothing to retry" if deeds else "nothing to retry: no open incidents"
    return f"{done} of {len(deeds)} will be tried again within {seconds:g} s, where a bridge runs"


def _line(deed: _Deed) -> Text:
    incident = deed.incident
    place = f"{one_line(incident.process_key)} / {one_line(incident.activity_id)}  " if incident else ""
    if deed.trouble:
        return Text.assemble(("✗ ", "red"), place, one_line(deed.wanted), ": ", one_line(deed.trouble))
    assert incident is not None  # noqa: S101  # the same
    what = "1 attempt" if deed.retries == 1 else f"{deed.retries} attempts"
    return Text.assemble(("✓ ", "green"), place, incident.process_instance_id, f"  {what}")


def _document(deed: _Deed) -> dict[str, object]:
    incident = deed.incident
    return {
        "wanted": deed.wanted,
        "process_instance_id": incident.process_instance_id if incident else None,
        "activity_id": incident.activity_id if incident else None,
        "external_task_id": incident.external_task_id if incident else None,
        "retries": deed.retries,
        "trouble": deed.trouble or None,
    }
