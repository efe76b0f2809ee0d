"""What the benchmarks of tasks share as commands: options, how they print what they found, and the exit code."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from procos.logs import configure_logs
from procos.settings import LogSettings
from tests.benchmarks import rows
from tests.benchmarks.versions import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.rows import Row

WIDTH = 170

console = Console(width=WIDTH, highlight=False)


def run(name: str, description: str | None, measures: Sequence[str], measured: Callable[..., Sequence[Row]]) -> int:
    """Measure by `measured(only, is_quick=…)`, print and write; returns the exit code.

    0: every bound is kept. 1: one is not, or something could not be measured. 2: wrong usage.
    """
    options = _options(name, description, measures)
    configure_logs(LogSettings(level="WARNING"))  # a line for each of a thousand calls is not what is measured
    try:
        found = measured(options.only, is_quick=options.quick)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        console.print(f"the benchmark cannot run: {error}")
        return 1
    console.print(rows.table(found))
    if options.json:
        document = {"machine": machine(), "rows": [dict(row.as_json()) for row in found]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if all(row.holds for row in found) else 1


def _options(name: str, description: str | None, measures: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--only", nargs="+", choices=measures, default=measures, metavar="MEASURE")
    parser.add_argument("--quick", action="store_true", help="does it run here? no figures to keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    return parser.parse_args()
