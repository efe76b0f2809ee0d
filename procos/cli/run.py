"""`procos run`: starts a process, shows each step as it happens, and prints the result from history."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from procos.cli.environment import settings
from procos.cli.watching import InstanceWatch, Snapshot
from procos.domain.errors import UsageError
from procos.engine.http import HttpEngine
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.cli.watching import StepView

COMPLETED = "COMPLETED"
ERROR_CODE, ERROR_MESSAGE = "error_code", "error_message"
"""A process that ends with the variable `error_code` set counts as failed."""
REPORTED = {"completed", "bpmn_error"}
"""Outcomes that the engine has, and whose end shows in its history with the next look."""

progress = Console(stderr=True, highlight=False)


@click.command()
@click.argument("key")
@click.option(
    "--var", "pairs", multiple=True, metavar="NAME=VALUE", help="A start variable; JSON values keep their type."
)
@click.option("--vars-file", type=click.Path(path_type=Path), help="A file with a JSON object of variables.")
@click.option("--business-key", help="The business key of the new instance.")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait.")
@click.option("--result", "wanted", metavar="NAME", help="Print this variable of the result alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def run(
    *,
    key: str,
    pairs: tuple[str, ...],
    vars_file: Path | None,
    business_key: str | None,
    timeout: float,
    wanted: str | None,
    as_json: bool,
) -> None:
    """Start the process KEY, show each step live, and print its result variables."""
    chosen = settings()
    transport = Transport(chosen.engine)
    processes = Processes(transport)
    variables = {**_from_file(vars_file), **dict(_pair(pair) for pair in pairs)}
    json_type = HttpEngine(transport).knows_json
    instance_id = processes.start(key, variables, business_key=business_key, json_type=json_type)
    progress.print(f"{key} started: {instance_id}")
    watch = InstanceWatch(processes, Steps(chosen.redis), instance_id, wait=threading.Event().wait)
    last = _follow(watch, timeout)
    result = processes.variables(instance_id)
    outcome = _outcome(last, result)
    if as_json:
        click.echo(json.dumps(outcome, indent=2, ensure_ascii=False, default=str))
    else:
        _print(outcome, wanted)
    sys.exit(_exit_code(outcome))


def _follow(watch: InstanceWatch, timeout: float) -> Snapshot:
    told: set[str] = set()
    last: Snapshot | None = None
    for last in watch.snapshots(timeout=timeout):
        for view in last.steps:
            line = _line(view)
            if line and line not in told:
                told.add(line)
                progress.print(line)
    if last is None:
        raise UsageError("the instance was never seen")
    return last


def _line(view: StepView) -> str:
    """Say where a step is; empty while there is nothing new to say."""
    activity, step = view.activity, view.step
    name = f"{activity.name:<24.24}"
    if activity.ended is None:
        if step and step.state in REPORTED:
            return ""
        if step is None or step.worker is None:
            return f"  … {name} {f'queued on {step.queue}' if step else 'waiting'}"
        return f"  … {name} {step.state.replace('_', ' ')} on {step.queue}, {step.worker}"
    seconds = (activity.ended - activity.started).total_seconds()
    mark = "✗" if activity.is_cancelled else "✓"
    where = f"{step.queue}, {step.worker or 'worker unknown'}" if step else "queue and worker unknown"
    return f"  {mark} {name} {seconds:6.2f} s  {where}"


def _outcome(last: Snapshot, variables: Mapping[str, object]) -> dict[str, object]:
    instance = last.instance
    ended = instance.ended or instance.started
    return {
        "process_instance_id": instance.id,
        "process_key": instance.key,
        "state": instance.state,
        "ended_at": _end_event(last),
        "duration_s": (ended - instance.started).total_seconds() if instance.ended else round(last.elapsed, 3),
        "steps": [_step(view) for view in last.steps],
        "variables": dict(variables),
        "incidents": [f"{incident.activity_id}: {incident.message}" for incident in last.incidents],
    }


def _end_event(last: Snapshot) -> str | None:
    ends = [activity for activity in last.passed if activity.kind.lower().endswith("endevent")]
    return ends[-1].name if ends else None


def _step(view: StepView) -> dict[str, object]:
    activity, step = view.activity, view.step
    seconds = (activity.ended - activity.started).total_seconds() if activity.ended else None
    return {
        "activity_id": activity.activity_id,
        "name": activity.name,
        "topic": step.topic if step else None,
        "queue": step.queue if step else None,
        "worker": step.worker if step else None,
        "outcome": step.state if step else None,
        "starts": step.starts if step else None,
        "duration_s": seconds,
    }


def _print(outcome: Mapping[str, object], wanted: str | None) -> None:
    variables: Mapping[str, object] = outcome["variables"]  # type: ignore[assignment]  # built above
    progress.print(_headline(outcome))
    if wanted is None:
        for name, value in variables.items():
            click.echo(f"{name}: {_as_text(value)}")
    elif wanted in variables:
        click.echo(_as_text(variables[wanted]))
    else:
        click.echo(f"no variable {wanted!r} in the result; there are: {', '.join(variables)}", err=True)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _headline(outcome: Mapping[str, object]) -> str:
    where = f" at “{outcome['ended_at']}”" if outcome["ended_at"] else ""
    incidents: Sequence[str] = outcome["incidents"]  # type: ignore[assignment]  # built above
    if incidents:
        cure = f"Mend the cause, then: procos retry {outcome['process_instance_id']}"
        return f"waits for a person: {'; '.join(incidents)}. {cure}"
    if outcome["state"] == "ACTIVE":
        return f"still running after {outcome['duration_s']} s; it goes on, look at it in Cockpit."
    return f"{outcome['state']}{where} after {outcome['duration_s']} s"


def _exit_code(outcome: Mapping[str, object]) -> int:
    variables: Mapping[str, object] = outcome["variables"]  # type: ignore[assignment]  # built above
    return 0 if outcome["state"] == COMPLETED and not variables.get(ERROR_CODE) else 1


def _pair(text: str) -> tuple[str, object]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"--var {text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _from_file(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    try:
        variables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--vars-file {path}: {error}") from error
    if not isinstance(variables, dict):
        raise UsageError(f"--vars-file {path}: expected a JSON object of variables")
    return variables
