"""`make bench-tasks`: what the generic tasks cost beside the bare libraries they are made with."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import command
from tests.benchmarks.tasks import database, file_server, validation, web
from tests.chaos.postgres import running_postgres
from tests.chaos.services import AnyPorts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.rows import Row

HTTP, DOWNLOAD, VALIDATION, DATABASE = "http", "download", "validation", "database"
MEASURES = (HTTP, DOWNLOAD, VALIDATION, DATABASE)


def _measured(only: Sequence[str], *, is_quick: bool) -> list[Row]:
    rounds = 2 if is_quick else 7
    found: list[Row] = []
    if {HTTP, DOWNLOAD} & set(only):
        with _web() as url:
            found += web.overhead(url, rounds=rounds, calls=50 if is_quick else 400) if HTTP in only else []
            found += web.download(url) if DOWNLOAD in only else []
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


if __name__ == "__main__":
    sys.exit(command.run("tests.benchmarks.tasks", __doc__, MEASURES, _measured))
