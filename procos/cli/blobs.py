"""`procos blobs` and `procos blobs prune`: how much the store of large values and files holds, and what may go.

Which instances have ended the engine says. Nothing that is in the blobs is shown.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from procos.blobs import blob_store
from procos.blobs.pruning import doomed
from procos.cli.environment import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.blobs.holdings import Holding
    from procos.blobs.pruning import Doomed

STEP = 1000.0
UNITS = ("bytes", "kB", "MB", "GB", "TB")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print what the store holds as JSON.")
@click.pass_context
def blobs(context: click.Context, *, as_json: bool) -> None:
    """Show what the blob store holds, by process instance; the largest first."""
    if context.invoked_subcommand is not None:
        return
    store = blob_store(settings().blobs)
    held = store.holdings()
    if as_json:
        click.echo(json.dumps([_document(each) for each in held], indent=2))
        return
    for each in held:
        click.echo(_line(each))
    click.echo(f"{_counted(held)} at {store.address}", err=True)


@blobs.command()
@click.option(
    "--older-than", "days", type=click.FloatRange(min=0), required=True, metavar="DAYS", help="Days since the end."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--unknown", is_flag=True, help="Also what no instance the engine knows has, if written before that.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
def prune(*, days: float, dry_run: bool, unknown: bool, as_json: bool) -> None:
    """Remove the blobs of instances that ended more than DAYS days ago, as the engine's history says."""
    from procos.engine.endings import endings_of
    from procos.engine.transport import Transport

    chosen = settings()
    store = blob_store(chosen.blobs)
    held = store.holdings()
    endings = endings_of(Transport(chosen.engine), [each.process_instance_id for each in held])
    going = doomed(held, endings, before=datetime.now(UTC) - timedelta(days=days), unknown=unknown)
    for each in going:
        if not dry_run:
            store.remove(each.holding.process_instance_id)
        if not as_json:  # as it is done: the store may fail at the next
            click.echo(f"{_line(each.holding)}  {each.fate}, since {each.since:%Y-%m-%d}")
    if as_json:
        click.echo(json.dumps([_doomed_document(each) for each in going], indent=2))
    verb = "would be removed" if dry_run else "removed"
    kept = sum(each.process_instance_id not in endings for each in held)
    left = f"; {_many(kept, 'instance')} unknown to the engine kept (--unknown)" if kept and not unknown else ""
    click.echo(f"{_counted([each.holding for each in going])} {verb}{left}", err=True)


def _line(holding: Holding) -> str:
    youngest = f"{holding.youngest:%Y-%m-%d %H:%M}" if holding.youngest else "-"
    return f"{holding.process_instance_id:<36}  {holding.blobs:>5}  {_size(holding.size):>10}  {youngest}"


def _counted(held: Sequence[Holding]) -> str:
    blobs, size = sum(each.blobs for each in held), sum(each.size for each in held)
    return f"{_many(len(held), 'instance')}, {_many(blobs, 'blob')}, {_size(size)}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _size(count: int) -> str:
    amount, unit = float(count), iter(UNITS)
    name = next(unit)
    while amount >= STEP and name != UNITS[-1]:
        amount, name = amount / STEP, next(unit)
    return f"{count} bytes" if name == UNITS[0] else f"{amount:.1f} {name}"


def _document(holding: Holding) -> dict[str, object]:
    return {
        "process_instance_id": holding.process_instance_id,
        "blobs": holding.blobs,
        "bytes": holding.size,
        "youngest": holding.youngest.isoformat() if holding.youngest else None,
    }


def _doomed_document(each: Doomed) -> dict[str, object]:
    return {**_document(each.holding), "fate": each.fate.value, "since": each.since.isoformat()}
