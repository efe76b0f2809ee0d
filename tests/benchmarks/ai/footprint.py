"""What a worker of the `ai` queue is before its first task: how long its imports take, and how much memory they need.

A process of its own imports the Celery app, every module with a task of the queue, and the adapters, as a worker has
them after its first question.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from tests.benchmarks.rows import Row
from tests.local_stack import clean_environment

MOST_SECONDS, MOST_MEGABYTES = 1.5, 120.0
PROGRAM = """
import json, time
began = time.perf_counter()
import procos.app
from importlib import import_module
from procos.routes import by_queue
for route in by_queue()["ai"].values():
    import_module(route.module)
import tasks.ai.providers.openai_compatible, tasks.ai.providers.ollama
seconds = time.perf_counter() - began
import psutil
print(json.dumps({"seconds": seconds, "megabytes": psutil.Process().memory_info().rss / 2**20}))
"""


def measure(*, rounds: int) -> list[Row]:
    """Return a row for the time and one for the memory; the first import, which writes bytecode, is not counted."""
    _import()
    found = [_import() for _ in range(rounds)]
    seconds = statistics.median(each["seconds"] for each in found)
    megabytes = statistics.median(each["megabytes"] for each in found)
    details = f"median of {rounds}"
    return [
        Row(measure="import of a worker for ai", figure=seconds, unit="s", bound=MOST_SECONDS, details=details),
        Row(measure="its memory afterwards", figure=megabytes, unit="MB", bound=MOST_MEGABYTES, details=details),
    ]


def _import() -> dict[str, float]:
    ran = subprocess.run(
        (sys.executable, "-c", PROGRAM),
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, float] = json.loads(ran.stdout)
    return found
