"""The index that spares PostgreSQL the sorting of all that waits, as docs/operating.md has it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psutil

from tests.chaos.postgres import USER

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

INDEX = "CREATE INDEX procos_ext_task_order ON act_ru_ext_task (priority_ DESC, create_time_ ASC)"
COMMAND_SECONDS = 120.0


def create_index(stand: Stand) -> None:
    """Create it in the database of a stand, and have the planner know of it."""
    server = psutil.Process(stand._pids["database"])
    port = next(each.laddr.port for each in server.net_connections("tcp") if each.status == psutil.CONN_LISTEN)
    command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", USER, "-v", "ON_ERROR_STOP=1"]
    for statement in (INDEX, "ANALYZE act_ru_ext_task"):
        subprocess.run([*command, "-c", statement], check=True, capture_output=True, timeout=COMMAND_SECONDS)
