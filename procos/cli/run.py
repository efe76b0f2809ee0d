"""`procos run`: starts a process, shows each step as it happens, and prints the result from history."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from procos.cli.asking import asking
from procos.cli.environment import settings
from procos.client import Client
from procos.client.result import ACTIVE

if TYPE_CHECKING:
    from procos.cli.asking import Asked
    from procos.client import ProcessInstance, Result, StepView

REPORTED = {"completed", "bpmn_error"}
"""Outcomes that the engine has, and whose end shows in its history with the next look."""

progress = Console(stderr=True, highlight=False)


@click.command()
@click.argument("what", metavar="KEY")
@asking
def run(key: str, asked: Asked) -> None:
    """Start the process KEY, show each step live, and print its result variables."""
    instance = Client(settings()).start(key, asked.variables, business_key=asked.business_key)
    progress.print(f"{key} started: {instance.id}")
    show(instance, asked)


def show(instance: ProcessInstance, asked: Asked) -> NoReturn:
    """Show each step live, print the result, and exit with the code it deserves."""
    told: set[str] = set()

    def tell(view: StepView) -> None:
        if (line := _line(view)) and line not in told:
            told.add(line)
            progress.print(line)

    result = instance.result(timeout=asked.timeout, on_step=tell)
    if asked.as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False, default=str))
    else:
        _print(result, asked.wanted)
    sys.exit(0 if result.is_good else 1)


def _line(view: StepView) -> str:
    """Say where a step is; empty while there is nothing new to say."""
    step = view.step
    name = f"{view.activity.name:<24.24}"
    if view.seconds is None:
        if step and step.state in REPORTED:
            return ""
        if step is None or step.worker is None:
            return f"  … {name} {f'queued on {step.queue}' if step else 'waiting'}"
        return f"  … {name} {step.state.replace('_', ' ')} on {step.queue}, {step.worker}"
    mark = "✗" if view.activity.is_cancelled else "✓"
    where = f"{step.queue}, {step.worker or 'worker unknown'}" if step else "queue and worker unknown"
    return f"  {mark} {name} {view.seconds:6.2f} s  {where}"


def _print(result: Result, wanted: str | None) -> None:
    progress.print(_headline(result))
    if wanted is None:
        for name, value in result.variables.items():
            click.echo(f"{name}: {_as_text(value)}")
    elif wanted in result.variables:
        click.echo(_as_text(result.variables[wanted]))
    else:
        names = ", ".join(result.variables)
        click.echo(f"no variable {wanted!r} in the result; there are: {names}", err=True)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _headline(result: Result) -> str:
    where = f" at “{result.ended_at}”" if result.ended_at else ""
    if incidents := result.incidents:
        cure = f"Mend the cause, then: procos retry {result.last.instance.id}"
        return f"waits for a person: {'; '.join(incidents)}. {cure}"
    if result.state == ACTIVE:
        return f"still running after {result.seconds} s; it goes on, look at it in Cockpit."
    return f"{result.state}{where} after {result.seconds} s"
