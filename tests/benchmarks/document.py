"""`make performance`: writes docs/performance.md from what runs have found; no figure in it is written by hand.

What is in short comes from every run, all else from the first. The words between the tables are in `prose`.
Exit 0: written. 1: the file of a quick run, whose figures are not to be kept. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import prose
from tests.benchmarks.contenders.table import CONTENDERS
from tests.benchmarks.figures import Spread, milliseconds_a_task, ours_a_task, p95, ratios
from tests.benchmarks.results import Results, read
from tests.benchmarks.scenarios import BY_NAME, SCENARIOS, Kind
from tests.benchmarks.stand import POSTGRES
from tests.benchmarks.targets import TARGETS, Target
from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.benchmarks.rounds import RoundResult

PAGE = ROOT / "docs" / "performance.md"
RAW = "raw"
PARTS = ("engine", "database", "bridge", "worker", "client", "broker", "redis")
NOTHING = "–"  # noqa: RUF001  # what tables show where there is nothing
YES, NO = "yes", "**no**"


def document(runs: Sequence[Results], scale: Sequence[Mapping[str, object]] = ()) -> str:
    """Return the whole text; `scale` are the rows of `make bench-scale`."""
    results = runs[0]
    drains = [scenario for scenario in SCENARIOS if scenario.kind is Kind.DRAIN and results.rounds.get(scenario.name)]
    noops = [scenario for scenario in drains if scenario.name.startswith("noop")]
    waits = [scenario for scenario in drains if scenario not in noops]
    sections = [
        prose.opening(runs),
        _targets(runs),
        prose.RATIO,
        "## A step that does nothing",
        prose.NOOP,
        *(f"### {scenario.title}\n\n{_rates(results.rounds[scenario.name])}" for scenario in noops),
        "## What a step costs, part by part",
        prose.CPU,
        *(f"### {_full_title(scenario.name)}\n\n{_cpu(results.rounds[scenario.name])}" for scenario in noops),
        *_profiles(results),
        "## Steps that wait",
        prose.WAITING,
        *(f"### {scenario.title}\n\n{_rates(results.rounds[scenario.name])}" for scenario in waits),
        "## How soon, when there is nothing else to do",
        _latencies(results),
        "## The engine restarted under work",
        prose.RESTART,
        _outages(results),
        *_scale(scale),
        *_absent(results),
        prose.method(results),
        "## Machine and versions",
        _table(("what", "which"), [*results.machine.items(), *results.versions.items()]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _targets(runs: Sequence[Results]) -> str:
    rows = []
    for target in TARGETS:
        bounds, figures = (target.floor, target.aim), [target.figure(run) for run in runs]
        rows.append((
            target.text,
            *(_with_unit(target, figure) for figure in figures),
            *(_bound(target, bound) for bound in bounds),
            *(_met([target.reaches(figure, bound) for figure in figures]) for bound in bounds),
        ))  # fmt: skip
    measured = ["measured"] if len(runs) == 1 else [f"run {number}" for number in range(1, len(runs) + 1)]
    return _table(("measure", *measured, "floor", "aim", "floor held", "aim reached"), rows)


def _with_unit(target: Target, figure: Spread | None) -> str:
    return f"{_text(figure, target.digits)} {target.unit}".strip() if figure else "not measured"


def _bound(target: Target, bound: float | None) -> str:
    if bound is None:
        return NOTHING
    return f"{'≥' if target.larger_is_better else '≤'} {bound:g} {target.unit}".strip()


def _met(met: Sequence[bool | None]) -> str:
    """Write whether a bound was reached in every run, in none, or in how many."""
    reached = sum(each is True for each in met)
    if None in met:
        return NOTHING
    return YES if reached == len(met) else f"**in {reached} of {len(met)}**" if reached else NO


def _rates(rounds: Sequence[RoundResult]) -> str:
    rows = []
    for name in _names(rounds):
        mine = [one for one in rounds if one.contender == name]
        tasks, count = mine[0].tasks, len(mine)
        ratio = _text(Spread.of(ratios(rounds, name, RAW)), 2)
        whole, steady = (_text(Spread.of(rates), 0) for rates in ((r.rate for r in mine), (r.steady for r in mine)))
        rows.append((_label(name), f"{tasks} × {count}", whole, steady, ratio))  # noqa: RUF001
    return _table(("client", "tasks × rounds", "tasks a second", "of it steady", "ratio to raw"), rows)  # noqa: RUF001


def _cpu(rounds: Sequence[RoundResult]) -> str:
    parts = [part for part in PARTS if any(part in one.cpu for one in rounds)]
    rows = []
    for name in _names(rounds):
        mine = [one for one in rounds if one.contender == name]
        costs = [milliseconds_a_task(one) for one in mine]
        foreign = "bridge" not in mine[0].cpu
        used = [part for part in parts if not (foreign and part in {"broker", "redis"})]
        cells = [_text(Spread.of(cost[part] for cost in costs if part in cost and part in used), 2) for part in parts]
        rows.append((_label(name), *cells, NOTHING if foreign else _text(Spread.of(map(ours_a_task, mine)), 2)))
    return _table(("client", *parts, "ours together"), rows)


def _profiles(results: Results) -> list[str]:
    if not results.profiles:
        return []
    sections = ["## Where an aim is missed: what bridge and worker do", prose.PROFILES]
    for name, parts in results.profiles.items():
        sections.append(f"### {_full_title(name)}")
        for part in sorted(parts):
            rows = [(place, f"{milliseconds:.2f}") for place, milliseconds in parts[part].items()]
            sections.append(_table((part, "ms a task"), [*rows, ("together", f"{sum(parts[part].values()):.2f}")]))
    return sections


def _latencies(results: Results) -> str:
    rows = [
        (_label(name), *(f"{1000 * figure:.1f}" for figure in (statistics.median(found), p95(found), max(found))))
        for name, found in results.latencies.items()
        if found
    ]
    return _table(("client", "median, ms", "p95, ms", "longest, ms"), rows) if rows else prose.NOT_MEASURED


def _outages(results: Results) -> str:
    rows = [
        (
            _label(one.contender),
            str(one.running),
            f"{one.runs} for {one.instances}",
            str(one.lost),
            NOTHING if one.seconds is None else f"{one.seconds:.1f} s",
        )
        for one in results.outages
    ]
    head = ("client", "running at the stop", "function runs", "results lost", "all ended after the engine was back")
    return _table(head, rows) if rows else prose.NOT_MEASURED


def _scale(rows: Sequence[Mapping[str, object]]) -> list[str]:
    if not rows:
        return []
    written = [
        (
            str(row["name"]),
            f"{row['value']:,.4g} {row['unit']}".strip(),
            *(str(row[bound] or NOTHING) for bound in ("floor", "aim")),
            NOTHING if row["met"] is None else YES if row["met"] else NO,
            str(row["note"]),
        )
        for row in rows
    ]
    head = ("measure", "measured", "floor", "aim", "floor held", "note")
    return ["## Thousands in flight, a hundred thousand waiting, two bridges", prose.SCALE, _table(head, written)]


def _absent(results: Results) -> list[str]:
    lines = [f"- {_label(name)}: {reason}" for name, reason in results.missing.items()]
    lines += [f"- {failure}" for failure in results.failures]
    return ["## What could not be measured", "\n".join(lines)] if lines else []


def _full_title(name: str) -> str:
    return "PostgreSQL" if BY_NAME[name].engine.database == POSTGRES else "H2"


def _names(rounds: Iterable[RoundResult]) -> list[str]:
    """Return the contenders in the order of the table, whichever had the first turn."""
    found = {one.contender for one in rounds}
    return [name for name in CONTENDERS if name in found]


def _label(name: str) -> str:
    return CONTENDERS[name].label


def _text(spread: Spread | None, digits: int) -> str:
    """Write a median, and its spread where there is one."""
    if spread is None:
        return NOTHING
    if spread.low == spread.high:
        return f"{spread.median:.{digits}f}"
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Write the page; returns the exit code."""
    options = _options()
    runs = [read(file) for file in options.bench]
    if any(run.is_quick for run in runs):
        sys.stderr.write("document: a quick run shows that the benchmark works; its figures are not to be kept\n")
        return 1
    scale = json.loads(options.scale.read_text("utf-8"))["rows"] if options.scale else ()
    options.output.write_text(document(runs, scale), "utf-8")
    sys.stderr.write(f"{options.output} written from {len(runs)} runs\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.document", description=__doc__)
    parser.add_argument("bench", nargs="+", type=Path, help="what `python -m tests.benchmarks --json` has written")
    parser.add_argument("--scale", type=Path, help="what `python -m tests.benchmarks.scale --json` has written")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page (default: docs/performance.md)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
