"""What was asked for, on stdout: where the parts of a stack are, how they are, and what waits in the queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from procos.kernel.stack import Phase
from procos.kernel.terminal import COLOURS

if TYPE_CHECKING:
    from procos.kernel.stack import PartState, StackState
    from procos.kernel.work_view import QueueRow, Work

WIDTH_ELSEWHERE = 200
MINUTE, HOUR, DAY = 60, 3600, 86400


def print_addresses(state: StackState) -> None:
    """Print where each part answers and what one needs to know to use it."""
    table = _table("part", "address", "")
    for part in state.parts:
        table.add_row(part.name, part.address or "-", part.note)
    _console().print(table)


def print_status(state: StackState, work: Work) -> None:
    """Print how each part and each queue is, and what waits for a person."""
    console = _console()
    parts = _table("part", "status", "pid", "address", "up for", "restarts", "")
    for part in state.parts:
        parts.add_row(
            part.name,
            Text(part.status, style=COLOURS.get(part.status, "")),
            str(part.pid or "-"),
            part.address or "-",
            uptime(part),
            "-" if part.is_external else str(part.restarts),
            part.reason or ("elsewhere" if part.is_external else ""),
        )
    console.print(parts)
    if work.queues:
        console.print()
        console.print(_queue_table(work))
    if work.incidents:
        console.print(f"\n{work.incidents} incidents wait for a person: `procos incidents` lists them")


def document(state: StackState | None, work: Work | None = None, *, kernel: StackState | None = None) -> dict[str, Any]:
    """Return the same for programs; without a state nothing runs."""
    return {
        "running": state is not None,
        "phase": state.phase if state else Phase.STOPPED,
        "supervisor": {"pid": state.pid} if state else None,
        "kernel": {"pid": kernel.pid, "phase": kernel.phase} if kernel else None,
        "parts": [_part_document(part) for part in state.parts] if state else [],
        "queues": [_queue_document(row, work) for row in work.queues] if work else [],
        "incidents": work.incidents if work else None,
        "warnings": list(state.warnings) if state else [],
    }


def uptime(part: PartState) -> str:
    """Say how long the part's process has been running."""
    seconds = _seconds_up(part)
    if seconds is None:
        return "-"
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _part_document(part: PartState) -> dict[str, Any]:
    return {
        "name": part.name,
        "status": part.status,
        "healthy": part.is_healthy,
        "reason": part.reason,
        "pid": part.pid,
        "address": part.address,
        "external": part.is_external,
        "restarts": part.restarts,
        "uptime_s": _seconds_up(part),
        "note": part.note,
    }


def _queue_document(row: QueueRow, work: Work) -> dict[str, Any]:
    return {
        "name": row.name,
        "ready": row.ready,
        "consumers": row.consumers,
        "in_flight": (work.in_flight or {}).get(row.name),
        "missing": row.is_missing,
    }


def _seconds_up(part: PartState) -> float | None:
    return max(0.0, round(time.time() - part.created, 1)) if part.created else None


def _queue_table(work: Work) -> Table:
    table = _table("queue", "ready", "consumers", "in flight", "")
    for row in work.queues:
        consumers = "-" if row.consumers is None else str(row.consumers)
        in_flight = str((work.in_flight or {}).get(row.name, "-"))
        table.add_row(row.name, str(row.ready), consumers, in_flight, "not declared yet" if row.is_missing else "")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    console = Console(highlight=False)
    # In a pipe nobody sees a width, and a table folded to a guessed one is hard to grep.
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_ELSEWHERE)
