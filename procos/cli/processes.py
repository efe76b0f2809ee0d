"""`procos processes`: what is deployed, how much of it runs, and how much waits for a person."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from procos.cli.environment import settings
from procos.cli.incidents import one_line
from procos.client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.engine.overview import ProcessSummary


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also older versions of which nothing runs any more.")
@click.option("--json", "as_json", is_flag=True, help="Print the versions as JSON.")
def processes(*, everything: bool, as_json: bool) -> None:
    """List the deployed processes: newest version, older ones that still run, instances and incidents."""
    found = Client(settings()).processes()
    shown = found if everything else of_interest(found)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in shown], indent=2, ensure_ascii=False))
        return
    if not shown:
        click.echo("no process is deployed; run `procos deploy`", err=True)
        return
    Console(highlight=False).print(_table(shown))


def of_interest(found: Sequence[ProcessSummary]) -> Sequence[ProcessSummary]:
    """Return the newest version of each process, and older ones of which something runs."""
    newest = {each.key: each.version for each in reversed(found)}
    return [each for each in found if each.version == newest[each.key] or each.running]


def _table(shown: Sequence[ProcessSummary]) -> Table:
    table = Table("process", "version", "running", "incidents", "name", box=None, pad_edge=False)
    for each in shown:
        incidents = Text(str(each.incidents), "red" if each.incidents else "")
        key, name = Text(one_line(each.key)), Text(one_line(each.name))
        table.add_row(key, str(each.version), str(each.running), incidents, name)
    return table
