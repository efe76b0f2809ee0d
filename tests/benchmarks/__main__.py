"""`make bench`: ProcOS beside its peers on one engine, in one run; what a step costs, how fast and how soon.

Absolute figures depend on the machine; the ratio to the raw client of the same round is what to compare. Every
contender is built or installed by the run itself, works on the same engine, and takes its turn in every round.
Exit 0: all was measured. 1: a round failed, or a service could not be brought up. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.benchmarks import report, versions
from tests.benchmarks.contenders.tools import MissingError, Tools, cache_folder
from tests.benchmarks.progress import Progress, estimated
from tests.benchmarks.results import Results
from tests.benchmarks.run import Run
from tests.benchmarks.scenarios import BY_NAME, QUICK_ROUNDS, QUICK_WARM_UP, ROUNDS, SCENARIOS, WARM_UP
from tests.benchmarks.stand import Services
from tests.benchmarks.versions import machine
from tests.chaos.services import AnyPorts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.scenarios import Scenario

WIDTH = 150
USAGE, INTERRUPTED = 2, 130

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Run the benchmark and print what it found; returns the exit code."""
    options = _options()
    try:
        scenarios = _chosen(options)
    except ValueError as error:
        console.print(str(error))
        return USAGE
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    results = _empty(options)
    begun = time.monotonic()
    try:
        _measure(options, scenarios, results)
    except (MissingError, RuntimeError) as error:
        console.print(f"the benchmark cannot run: {error}")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped")
        return INTERRUPTED
    finally:
        results.minutes = (time.monotonic() - begun) / 60
        if options.json:
            results.write(options.json)
    report.show(console, results)
    return 1 if results.failures else 0


def _measure(options: argparse.Namespace, scenarios: Sequence[Scenario], results: Results) -> None:
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="procos-bench-")))
        ports = running.enter_context(AnyPorts())
        logs = folder / "logs"
        logs.mkdir()
        services = Services(folder, ports, options.engine_jar)
        run = Run(
            results,
            services=services,
            tools=Tools(cache_folder()),
            logs=logs,
            rounds=rounds,
            progress=Progress(console, estimated(scenarios, rounds=rounds, warm_up=results.warm_up)),
        )
        run.prepare(scenarios)
        running.enter_context(services.running())
        run.measure(scenarios)


def _empty(options: argparse.Namespace) -> Results:
    warm_up = options.warm_up if options.warm_up is not None else QUICK_WARM_UP if options.quick else WARM_UP
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return Results(
        is_quick=options.quick, date=today, warm_up=warm_up, machine=machine(), versions=versions.of_programs()
    )


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    names = options.only or [scenario.name for scenario in SCENARIOS]
    if unknown := sorted(set(names) - BY_NAME.keys()):
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    if options.contenders:
        scenarios = [scenario.among(options.contenders.split(",")) for scenario in scenarios]
    return [scenario.quick() for scenario in scenarios] if options.quick else scenarios


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--contenders", metavar="NAME,…", help="these alone")
    parser.add_argument("--rounds", type=int, help=f"rounds of each scenario (default {ROUNDS})")
    parser.add_argument("--warm-up", type=int, metavar="TASKS", help=f"per engine (default {WARM_UP})")
    parser.add_argument("--quick", action="store_true", help="a little of everything, in minutes: no figures to keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found")
    parser.add_argument("--engine-jar", type=Path, metavar="FILE", help="a ready-made engine instead of ours")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
