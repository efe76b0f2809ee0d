"""`procos routes`: the route table, as the bridge and the workers see it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from procos.cli.environment import settings
from procos.routes import routes as route_table

if TYPE_CHECKING:
    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def routes(*, as_json: bool) -> None:
    """List every topic: task, queue, lease, retry policy, caps, and where it comes from."""
    chosen = settings()
    found = sorted(route_table().items())
    rows = [_row(topic, route, chosen) for topic, route in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("topic", "task", "queue", "lease", "attempts", "delays", "caps", "from", box=None, pad_edge=False)
    for row, (_, route) in zip(rows, found, strict=True):
        delays = f"{row['first_delay_s']:g} to {row['longest_delay_s']:g} s"
        table.add_row(
            str(row["topic"]), str(row["task"]), str(row["queue"]), f"{row['lease_s']:g} s",
            str(row["attempts"]), delays, _caps(route), str(row["source"]),
        )  # fmt: skip
    # Off a terminal rich assumes 80 columns and cuts names, which programs and people grep for.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _row(topic: Topic, route: Route, chosen: Settings) -> dict[str, object]:
    lease = route.lock_duration.total_seconds() if route.lock_duration else chosen.bridge.lock_duration
    return {
        "topic": topic,
        "task": route.task_name,
        "queue": str(route.queue),
        "lease_s": lease,
        "attempts": route.retry.attempts,
        "first_delay_s": route.retry.first_delay.total_seconds(),
        "longest_delay_s": route.retry.longest_delay.total_seconds(),
        "max_starts": route.max_starts,
        "at_once": route.at_once,
        "limits": {limit.name: limit.at_once for limit in route.limits},
        "source": route.source,
    }


def _caps(route: Route) -> str:
    own = [] if route.at_once is None else [f"{route.at_once} at once"]
    return ", ".join([*own, *(f"{limit.name} {limit.at_once}" for limit in route.limits)]) or "-"
