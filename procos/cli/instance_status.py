"""`procos status --instance ID`: where each step of a process instance is, and how far a model is with its answer.

One look, at an instance that runs or has ended; `procos run` watches one. `procos.cli.stack` has the option.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from procos.cli.environment import settings
from procos.client import Client

if TYPE_CHECKING:
    from procos.client.watching import Snapshot, StepView
    from procos.steps import AiCall


def show_instance(instance_id: str, *, as_json: bool) -> None:
    """Print where the steps of an instance are.

    Raises:
        UsageError: the engine's history has none of this id.
        EngineUnreachableError: the engine does not answer.
    """
    snapshot = next(Client(settings()).instance(instance_id).snapshots(timeout=0))
    if as_json:
        click.echo(json.dumps(_document(snapshot), indent=2, ensure_ascii=False))
        return
    click.echo(f"{snapshot.instance.key} {snapshot.instance.id}: {snapshot.instance.state}")
    for view in snapshot.steps:
        click.echo(_line(view))
    for incident in snapshot.incidents:
        click.echo(f"waits for a person at {incident.activity_id}: {incident.message}")


def _line(view: StepView) -> str:
    mark = "…" if view.seconds is None else "✗" if view.activity.is_cancelled else "✓"
    seconds = "" if view.seconds is None else f"{view.seconds:.2f} s"
    where = f"{view.step.queue}, {view.step.worker or 'no worker yet'}" if view.step else ""
    call = view.step.ai_call if view.step else None
    parts = [f"  {mark} {view.activity.name:<24.24} {view.status.replace('_', ' '):<11} {seconds:>10}", where]
    return "  ".join([*parts, _words(call)] if call else parts).rstrip()


def _words(call: AiCall) -> str:
    return f"{call.provider} {call.model}: about {call.tokens} tokens in {call.seconds:.0f} s"


def _document(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "process_instance_id": snapshot.instance.id,
        "process_key": snapshot.instance.key,
        "state": snapshot.instance.state,
        "steps": [_step(view) for view in snapshot.steps],
        "incidents": [f"{incident.activity_id}: {incident.message}" for incident in snapshot.incidents],
    }


def _step(view: StepView) -> dict[str, Any]:
    step = view.step
    return {
        "external_task_id": view.id,
        "activity_id": view.activity.activity_id,
        "name": view.activity.name,
        "status": view.status,
        "topic": step.topic if step else None,
        "queue": step.queue if step else None,
        "worker": step.worker if step else None,
        "starts": step.starts if step else None,
        "duration_s": view.seconds,
        "ai": asdict(step.ai_call) if step and step.ai_call else None,
    }
