"""`procos dead-letters` and `procos replay`: look at what nobody could process, and send it once more.

Neither shows the contents of variables. `replay` is for after the cause is mended; a step that ended meanwhile, or was
dispatched anew, is not run again by it.
"""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from procos.cli.environment import settings
from procos.routes import by_queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.shelf import DeadLetter, Replay, Shelf

MOST_SHOWN = 50
MOST_COMPARED = 1000
"""Dead letters whose ids are compared with one that was typed wrongly."""
MOST_NEAR = 3


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=MOST_SHOWN, show_default=True, help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print the dead letters as JSON.")
def dead_letters(*, limit: int, as_json: bool) -> None:
    """List the messages nobody could process: what, when, from which queue, and why."""
    view = _shelf().look(limit)
    if as_json:
        click.echo(json.dumps([asdict(letter) for letter in view.letters], indent=2))
    elif not view.letters:
        click.echo("no dead letters")
    else:
        click.echo("\n\n".join(_described(letter) for letter in view.letters))
    if view.total > len(view.letters):
        click.echo(f"{len(view.letters)} of {view.total} dead letters shown; --limit shows more", err=True)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Send all that lie there now.")
@click.option("--json", "as_json", is_flag=True, help="Print what was sent as JSON.")
def replay(ids: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """Send dead letters once more to the queues they came from, with a fresh count of deliveries.

    IDs are those `procos dead-letters` shows.
    """
    if bool(ids) == everything:
        raise click.UsageError("name the IDs of dead letters, or --all")
    shelf = _shelf()
    replays: list[Replay] = []
    try:
        for replayed in shelf.replay(None if everything else frozenset(ids)):
            replays.append(replayed)
            _tell(replayed, as_json=as_json)
    finally:
        if as_json:
            sent = [{"id": r.letter.id, "queue": r.letter.queue} for r in replays if not r.trouble]
            click.echo(json.dumps(sent, indent=2))
    if everything and not replays:
        click.echo("no dead letters", err=True)
    unknown = sorted(set(ids) - {replayed.letter.id for replayed in replays})
    _tell_unknown(unknown, shelf)
    sys.exit(1 if unknown or any(replayed.trouble for replayed in replays) else 0)


def _shelf() -> Shelf:
    from bridge.shelf import Shelf

    return Shelf(settings().broker, by_queue())


def _described(letter: DeadLetter) -> str:
    origin = f"{letter.shelved_at or 'at some time'}  from {letter.queue or 'an unknown queue'}"
    ids = {
        "topic": letter.topic,
        "external task": letter.external_task_id,
        "process instance": letter.process_instance_id,
    }
    rows = [
        click.style(letter.id or "without an id", bold=True),
        f"  {origin}, {letter.task_name or 'no task name'}, {letter.size:,} bytes",
        *(f"  {name} {value}" for name, value in ids.items() if value),
        f"  {letter.reason or 'no reason noted'}",
    ]
    return "\n".join(rows)


def _tell(replayed: Replay, *, as_json: bool) -> None:
    letter = replayed.letter
    if replayed.trouble:
        click.echo(f"{letter.id or 'a message without an id'} stays: {replayed.trouble}", err=True)
    elif not as_json:
        click.echo(f"{letter.id} sent to {letter.queue}")


def _tell_unknown(unknown: Sequence[str], shelf: Shelf) -> None:
    if not unknown:
        return
    known = [letter.id for letter in shelf.look(MOST_COMPARED).letters]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=MOST_NEAR)
        hint = f"; near: {', '.join(near)}" if near else ""
        click.echo(f"no dead letter has the id {name}{hint}", err=True)
