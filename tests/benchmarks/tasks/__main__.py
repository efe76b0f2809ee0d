"""`make bench-tasks`: what the generic tasks cost beside the bare libraries they are made with.

Exit 0: every bound is kept. 1: one is not, or something could not be measured. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from procos.logs import configure_logs
from procos.settings import LogSettings
from tests.benchmarks import rows
from tests.benchmarks.tasks import database, file_server, http, validation
from tests.benchmarks.versions import machine
from tests.chaos.postgres import running_postgres
from tests.chaos.services import AnyPorts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.rows import Row

HTTP, DOWNLOAD, VALIDATION, DATABASE = "http", "download", "validation", "database"
MEASURES = (HTTP, DOWNLOAD, VALIDATION, DATABASE)
WIDTH = 170

console = Console(width=WIDTH, highlight=False)


def main() -> int:
    """Measure, print and write; returns the exit code."""
    options = _options()
    configure_logs(LogSettings(level="WARNING"))  # a line for each of a thousand calls is not what is measured
    try:
        found = _measured(options.only, is_quick=options.quick)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        console.print(f"the benchmark cannot run: {error}")
        return 1
    console.print(rows.table(found))
    if options.json:
        document = {"machine": machine(), "rows": [dict(row.as_json()) for row in found]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if all(row.holds for row in found) else 1


def _measured(only: Sequence[str], *, is_quick: bool) -> list[Row]:
    rounds = 2 if is_quick else 7
    found: list[Row] = []
    if {HTTP, DOWNLOAD} & set(only):
        with _web() as url:
            found += http.overhead(url, rounds=rounds, calls=50 if is_quick else 400) if HTTP in only else []
            found += http.download(url) if DOWNLOAD in only else []
    if VALIDATION in only:
        found += validation.measure(rounds=rounds, calls=200 if is_quick else 3000)
    if DATABASE in only:
        with AnyPorts() as ports, running_postgres(ports.choose()) as url, _folder() as folder:
            found += database.measure(url, folder, rounds=rounds, calls=2 if is_quick else 15)
    return found


@contextmanager
def _web() -> Iterator[str]:
    command = (sys.executable, file_server.__file__)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="procos-bench-") as folder:
        yield Path(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tasks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES, metavar="MEASURE")
    parser.add_argument("--quick", action="store_true", help="does it run here? no figures to keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
