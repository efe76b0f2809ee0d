"""The tables a run prints: a line for each contender of each scenario."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.table import Table

from tests.benchmarks.contenders.table import CONTENDERS
from tests.benchmarks.figures import Spread, milliseconds_a_task, ours_a_task, p95, ratios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.benchmarks.results import Results
    from tests.benchmarks.rounds import RoundResult

RAW = "raw"
PARTS = ("engine", "database", "bridge", "worker", "client", "broker", "redis")


def show(console: Console, results: Results) -> None:
    """Print everything that was found."""
    if results.is_quick:
        console.print("a quick run: it shows that the benchmark works; its figures are those of a cold engine")
    for scenario, rounds in results.rounds.items():
        console.print(drain_table(scenario, rounds))
    for contender, found in results.latencies.items():
        middle, late = 1000 * statistics.median(found), 1000 * p95(found)
        console.print(f"latency, {contender}: median {middle:.1f} ms, p95 {late:.1f} ms")
    if results.idle_bridge is not None:
        console.print(f"idle bridge: {100 * results.idle_bridge:.2f} % of a core")
    for one in results.outages:
        console.print(
            f"engine restarted, {one.contender}: {one.runs} runs for {one.instances}, {one.lost} results lost"
        )
    for contender, reason in results.missing.items():
        console.print(f"{CONTENDERS[contender].label}: not measured, {reason}")
    for failure in results.failures:
        console.print(f"FAILED {failure}")


def drain_table(title: str, rounds: Sequence[RoundResult]) -> Table:
    """Return rates, ratios and CPU of one scenario, medians with their spread."""
    table = Table("contender", "tasks/s", "ratio to raw", *PARTS, "ours", title=title, box=None)
    for name in dict.fromkeys(one.contender for one in rounds):
        mine = [one for one in rounds if one.contender == name]
        table.add_row(
            name,
            text_of(Spread.of(one.rate for one in mine), 0),
            text_of(Spread.of(ratios(rounds, name, RAW)), 2),
            *(_milliseconds(mine, part) for part in PARTS),
            text_of(Spread.of(map(ours_a_task, mine)), 2, alone=True) if "bridge" in mine[0].cpu else "",
        )
    return table


def text_of(spread: Spread | None, digits: int, *, alone: bool = False) -> str:
    """Write a median, with its spread unless it shall stand alone."""
    if spread is None:
        return ""
    if alone:
        return f"{spread.median:.{digits}f}"
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _milliseconds(rounds: Sequence[RoundResult], part: str) -> str:
    return text_of(Spread.of(milliseconds_a_task(one)[part] for one in rounds if part in one.cpu), 2, alone=True)
