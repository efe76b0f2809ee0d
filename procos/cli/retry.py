"""`procos retry`: gives steps that wait for a person their retries back, so that they are tried again."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from procos.cli.environment import settings
from procos.cli.incidents import one_line
from procos.client import Client
from procos.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.client.retries import Retried

MOST_RETRIES = 1000


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
    show = None if as_json else _show  # as it is done: the next one may find the engine gone
    deeds = Client(chosen).retry(*ids, everything=everything, process=key, retries=retries, on_each=show)
    if as_json:
        click.echo(json.dumps([_document(deed) for deed in deeds], indent=2, ensure_ascii=False))
    else:
        click.echo(_summary(deeds, chosen.bridge.poll_timeout), err=True)
    sys.exit(0 if deeds and not any(deed.trouble for deed in deeds) else 1)


def _show(deed: Retried) -> None:
    Console(highlight=False).print(_line(deed), soft_wrap=True)


def _summary(deeds: Sequence[Retried], seconds: float) -> str:
    done = sum(not deed.trouble for deed in deeds)
    if not done:
        return "nothing to retry" if deeds else "nothing to retry: no open incidents"
    return f"{done} of {len(deeds)} will be tried again within {seconds:g} s, where a bridge runs"


def _line(deed: Retried) -> Text:
    incident = deed.incident
    place = f"{one_line(incident.process_key)} / {one_line(incident.activity_id)}  " if incident else ""
    if deed.trouble:
        return Text.assemble(("✗ ", "red"), place, one_line(deed.wanted), ": ", one_line(deed.trouble))
    assert incident is not None  # noqa: S101  # the same
    what = "1 attempt" if deed.retries == 1 else f"{deed.retries} attempts"
    return Text.assemble(("✓ ", "green"), place, incident.process_instance_id, f"  {what}")


def _document(deed: Retried) -> dict[str, object]:
    incident = deed.incident
    return {
        "wanted": deed.wanted,
        "process_instance_id": incident.process_instance_id if incident else None,
        "activity_id": incident.activity_id if incident else None,
        "external_task_id": incident.external_task_id if incident else None,
        "retries": deed.retries,
        "trouble": deed.trouble or None,
    }
