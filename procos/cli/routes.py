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
    """List every topic: task, queue, lease, retry policy, and where it comes from."""
    chosen = settings()
    rows = [_row(topic, route, chosen) for topic, route in sorted(route_table().items())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("topic", "task", "queue", "lease", "attempts", "delays", "from", box=None, pad_edge=False)
    for row in rows:
        delays = f"{row['first_delay_s']:g} to {row['longest_delay_s']:g} s"
        table.add_row(
            str(row["topic"]), str(row["task"]), str(row["queue"]), f"{row['lease_s']:g} s",
            str(row["attempts"]), delays, str(row["source"]),
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
        "source": route.source,
    }
