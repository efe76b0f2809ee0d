"""`make chaos-short`: kills, stops and cuts off one part after the other under load, and counts what came of it.

A command, not a test: it takes minutes and prints a table. Exit 0: every invariant held. 1: one was broken, or a part
could not be brought up. 2: wrong usage. The seed decides every moment and amount; the same seed replays the same case.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.chaos import report
from tests.chaos.case import Case, Lane
from tests.chaos.cases import CASES, chosen
from tests.chaos.run import CaseRun, Result
from tests.chaos.stack import running_stack
from tests.chaos.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.status import Status

    from tests.chaos.stack import Stack

LARGEST_SEED = 10_000
USAGE = 2
WIDTH = 120

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Run the cases of a lane; returns the exit code."""
    options = _options()
    try:
        cases = chosen(options.lane, options.only)
    except ValueError as error:
        console.print(str(error))
        return USAGE
    seed = random.randrange(LARGEST_SEED) if options.seed is None else options.seed  # noqa: S311  # shown, not secret
    console.print(f"chaos: seed {seed}, {len(cases)} cases; replay with: {_replay(options, seed)}")
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="procos-chaos-"))
    results, versions, left = _run(cases, seed, folder)
    run = report.Run(
        seed=seed,
        lane=options.lane,
        seconds=time.monotonic() - begun,
        day=datetime.now(UTC).date(),
        versions=versions,
        results=results,
    )
    report.show(console, run)
    if options.json:
        report.write(options.json, run)
    return _conclude(results, left, run.seconds, folder=folder, keep=options.keep)


def _replay(options: argparse.Namespace, seed: int) -> str:
    target = "chaos-short" if options.lane is Lane.SHORT else "chaos"
    return f"make {target} SEED={seed}" + (f' ONLY="{" ".join(options.only)}"' if options.only else "")


def _run(cases: Sequence[Case], seed: int, folder: Path) -> tuple[list[Result], Mapping[str, str], list[str]]:
    """Run the cases one after the other; returns what came of them, on which versions, and what was left at the end."""
    results: list[Result] = []
    begun = time.monotonic()
    console.print("bringing up engine, RabbitMQ, Redis, a bridge and two workers …")
    with running_stack(folder) as stack:
        console.print(f"all up after {time.monotonic() - begun:.0f} s")
        versions = versions_of(stack)
        for number, case in enumerate(cases, start=1):
            results.append(_run_case(stack, case, seed, f"{number:2}/{len(cases)}"))
    return results, versions, stack.leftovers()


def _run_case(stack: Stack, case: Case, seed: int, number: str) -> Result:
    title = f"{number}  {case.name}"
    begun = time.monotonic()
    with console.status(f"{title}: {case.instances + case.poison} instances over {case.over:g} s") as status:

        def say(words: str) -> None:
            _tell(status, title, time.monotonic() - begun, words)

        result = CaseRun(stack, case, seed, say).run()
    verdict = "[green]held  [/]" if result.passed else "[bold red]BROKEN[/]"
    console.print(
        f"{title:<34} {verdict} {result.seconds:5.1f} s  {result.ended}/{result.instances} ended, "
        f"lost {len(result.count.lost)}, twice {result.count.duplicates}, "
        f"recovered in {report.seconds_of(result.recovery)} s"
        + "".join(f", {what} in {seconds:.1f} s" for what, seconds in result.measured.items())
    )
    for problem in (*result.problems, *(result.history if not result.passed else ())):
        console.print(f"       {problem}", markup=False)
    return result


def _tell(status: Status, title: str, seconds: float, words: str) -> None:
    """Show what happens; counts are for the line that is being rewritten, events stay."""
    status.update(f"{title}: {seconds:.0f} s, {words}")
    if not words.endswith("ended"):
        console.print(f"       {seconds:5.1f} s  {words}", style="dim", markup=False)


def _conclude(results: Sequence[Result], left: Sequence[str], seconds: float, *, folder: Path, keep: bool) -> int:
    broken = [result.case.name for result in results if not result.passed]
    for process in left:
        console.print(f"still running at the end: {process}", style="red")
    if broken or left:
        console.print(f"{len(broken)} of {len(results)} broken in {seconds:.0f} s; logs and effects: {folder}")
        return 1
    console.print(f"all {len(results)} held in {seconds:.0f} s" + (f"; logs and effects: {folder}" if keep else ""))
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Breaks parts under load, and counts.")
    parser.add_argument("--lane", type=Lane, choices=list(Lane), default=Lane.SHORT)
    parser.add_argument("--seed", type=int, help="replay a run; made up if not given")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE", help=", ".join(case.name for case in CASES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--keep", action="store_true", help="keep logs and effects even if everything held")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (pytest.fail.Exception, pytest.skip.Exception, RuntimeError, TimeoutError) as failure:
        console.print(f"chaos: {failure}", style="red", markup=False)
        sys.exit(1)
