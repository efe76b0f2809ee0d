"""`procos incidents`: where instances wait for a person, what happened there, and what `procos retry` wants to know."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from procos.cli.environment import settings
from procos.client import Client

if TYPE_CHECKING:
    from procos.engine.incidents import OpenIncident

MINUTE, HOUR, DAY = 60, 3600, 86400
COMMANDS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""What a terminal takes for an order: colours, moves of the cursor."""


@click.command()
@click.option("--process", "key", metavar="KEY", help="Only what holds up instances of this process.")
@click.option("--json", "as_json", is_flag=True, help="Print the incidents as JSON.")
def incidents(*, key: str | None, as_json: bool) -> None:
    """List every open incident: where it is, since when, and what happened."""
    found = Client(settings()).incidents(key)
    if as_json:
        click.echo(json.dumps([_document(incident) for incident in found], indent=2, ensure_ascii=False))
        return
    console, now = Console(highlight=False), datetime.now(UTC)
    for incident in found:
        _show(console, incident, now)
    click.echo(_summary(len(found), key), err=True)


def one_line(text: str) -> str:
    """Return text of others as one line that cannot command a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in COMMANDS.sub("", text)).split())


def _show(console: Console, incident: OpenIncident, now: datetime) -> None:
    process, activity = one_line(incident.process_key), one_line(incident.activity_id)
    _print(console, Text.assemble(("✗ ", "red"), (process, "bold"), " / ", (activity, "bold")))
    _print(console, Text(one_line(incident.message) or "no message"), indent=2)
    since = f"{incident.since.astimezone():%Y-%m-%d %H:%M:%S}, {_ago((now - incident.since).total_seconds())}"
    for name, value in {
        "since": since,
        "instance": incident.process_instance_id,
        "key": incident.business_key,
        "topic": incident.topic,
        "ext. task": incident.external_task_id,
        "job": incident.job_id,
    }.items():
        if value:
            # Wrapped by the terminal alone, so that what is copied from it has no breaks of ours.
            console.print(Text.assemble("  ", (f"{name:<10}", "dim"), one_line(value)), soft_wrap=True)
    console.print()


def _print(console: Console, text: Text, *, indent: int = 0) -> None:
    """Wrap for a terminal; in a pipe each stays on its line, for those who look for it."""
    if sys.stdout.isatty():
        console.print(Padding(text, (0, 0, 0, indent)))
    else:
        console.print(Text(" " * indent) + text, soft_wrap=True)


def _ago(seconds: float) -> str:
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _summary(count: int, key: str | None) -> str:
    where = f" of {key}" if key else ""
    if not count:
        return f"no open incidents{where}"
    noun = "incident waits" if count == 1 else "incidents wait"
    return f"{count} {noun}{where}. Mend the cause, then: procos retry INSTANCE…, or procos retry --all"


def _document(incident: OpenIncident) -> dict[str, object]:
    return {
        "process_key": incident.process_key,
        "process_instance_id": incident.process_instance_id,
        "business_key": incident.business_key,
        "activity_id": incident.activity_id,
        "topic": incident.topic,
        "since": incident.since.isoformat(),
        "message": incident.message,
        "kind": incident.kind,
        "external_task_id": incident.external_task_id,
        "job_id": incident.job_id,
    }
