"""`make bench-scale`: ten thousand in flight, a hundred thousand waiting, two bridges beside one; a figure for each.

Exit 0: every floor is reached. 1: one is not, or something could not be measured. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from procos.domain.errors import ProcosError
from tests.benchmarks.contenders.tools import MissingError, cache_folder
from tests.benchmarks.scale import in_flight, replicas, rows, waiting
from tests.benchmarks.scale.programs import Ground, ScaleTools
from tests.chaos.services import AnyPorts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.scale.rows import Row

MEASURES: dict[str, Callable[[Ground], list[Row]]] = {
    "in-flight": in_flight.measure,
    "waiting": waiting.measure,
    "replicas": replicas.measure,
}
WIDTH = 200

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Measure, print and write; returns the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is stopped
    found: list[Row] = []
    failures: list[str] = []
    for name in options.only:
        console.print(f"{name} …")
        try:
            found += _measured(name, options.engine_jar)
        except (MissingError, ProcosError, RuntimeError, OSError) as error:
            failures.append(f"{name}: {error}")
            console.print(f"FAILED {failures[-1]}")
    machine = _machine()
    console.print(rows.table(found, title=", ".join(machine.values())))
    if options.markdown:
        sys.stdout.write(rows.markdown(found) + "\n")
    if options.json:
        rows.write(options.json, found, machine=machine, failures=failures)
    return 1 if failures or any(row.met is False for row in found) else 0


def _measured(name: str, engine_jar: Path | None) -> list[Row]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="procos-scale-")))
        ports = running.enter_context(AnyPorts())
        tools = ScaleTools(cache_folder())
        return MEASURES[name](Ground(folder=folder, ports=ports, tools=tools, engine_jar=engine_jar))


def _machine() -> dict[str, str]:
    return {
        "cores": f"{os.cpu_count()} cores",
        "system": platform.platform(),
        "python": f"Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), help="these alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument("--engine-jar", type=Path, metavar="FILE", help="a ready-made engine instead of ours")
    parser.add_argument("--markdown", action="store_true", help="print the rows as a table of a document, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
