"""The results as people read them, and as programs do."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.chaos.run import Result


def show(console: Console, results: Sequence[Result], *, seed: int) -> None:
    """Print the table, and below it what was broken."""
    title = f"seed {seed}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("fault")
    for heading in ("instances", "lost", "duplicates", "recovery s"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for result in results:
        table.add_row(*_row(result))
    console.print(table)
    for result in results:
        for problem in result.problems:
            console.print(Text(f"{result.case.name}: {problem}", style="red"))


def write(file: Path, results: Sequence[Result], *, seed: int, lane: str, seconds: float) -> None:
    """Write everything as JSON."""
    document = {
        "seed": seed,
        "lane": lane,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "passed": all(result.passed for result in results),
        "cases": [_document(result) for result in results],
    }
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def seconds_of(recovery: float | None) -> str:
    """Write how long a recovery took."""
    return "never" if recovery is None else f"{recovery:.1f}"


def _row(result: Result) -> tuple[str | Text, ...]:
    case, count = result.case, result.count
    return (
        case.title,
        str(result.instances),
        str(len(count.lost)),
        f"{count.duplicates} (≤ {case.duplicates})",
        f"{seconds_of(result.recovery)} (≤ {case.recovery:g})",
        Text("held", style="green") if result.passed else Text("BROKEN", style="bold red"),
    )


def _document(result: Result) -> Mapping[str, object]:
    case, count = result.case, result.count
    return {
        "case": case.name,
        "fault": case.title,
        "instances": result.instances,
        "ended": result.ended,
        "lost": len(count.lost),
        "duplicates": count.duplicates,
        "duplicates_bound": case.duplicates,
        "starts": sum(count.starts.values()),
        "recovery_seconds": None if result.recovery is None else round(result.recovery, 2),
        "recovery_bound_seconds": case.recovery,
        "seconds": round(result.seconds, 1),
        "passed": result.passed,
        "problems": list(result.problems),
        "history": list(result.history),
    }
