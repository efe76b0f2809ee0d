"""The results as people read them, and as programs do; `document` makes a page of the latter."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tests.chaos.stack import SETTINGS, SLOTS_OF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from rich.console import Console

    from tests.chaos.run import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All cases of one seed, and what they ran on."""

    seed: int
    lane: str
    seconds: float
    day: date
    versions: Mapping[str, str]
    results: Sequence[Result]


def show(console: Console, run: Run) -> None:
    """Print the table, and below it what was broken."""
    title = f"seed {run.seed}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("case")
    for heading in ("instances", "lost", "duplicates", "recovery s"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for result in run.results:
        table.add_row(*_row(result))
    console.print(table)
    for result in run.results:
        for problem in result.problems:
            console.print(Text(f"{result.case.name}: {problem}", style="red"))


def write(file: Path, run: Run) -> None:
    """Write everything as JSON."""
    document = {
        "seed": run.seed,
        "lane": run.lane,
        "seconds": round(run.seconds, 1),
        "date": run.day.isoformat(),
        "versions": dict(run.versions),
        "settings": SETTINGS,
        "slots": SLOTS_OF,
        "passed": all(result.passed for result in run.results),
        "cases": [_document(result) for result in run.results],
    }
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def seconds_of(recovery: float | None) -> str:
    """Write how long a recovery took."""
    return "never" if recovery is None else f"{recovery:.1f}"


def _row(result: Result) -> tuple[str | Text, ...]:
    case, count = result.case, result.count
    return (
        case.name,
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
        "part": case.part,
        "fault": case.title,
        "story": case.story,
        "verdicts": case.verdicts,
        "instances": result.instances,
        "ended": result.ended,
        "effects": count.effects,
        "lost": len(count.lost),
        "duplicates": count.duplicates,
        "duplicates_bound": case.duplicates,
        "starts": sum(count.starts.values()),
        "recovery_seconds": None if result.recovery is None else round(result.recovery, 2),
        "recovery_bound_seconds": case.recovery,
        "measured": {
            what: {"seconds": result.measured.get(what), "bound_seconds": limit} for what, limit in case.limits.items()
        },
        "seconds": round(result.seconds, 1),
        "passed": result.passed,
        "problems": list(result.problems),
        "history": list(result.history),
    }
