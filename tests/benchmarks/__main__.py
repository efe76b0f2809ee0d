"""`make bench`: latency, burst and idle cost of ProcOS beside a raw client, on one engine, in one run.

The raw client is the least a client can do: one long-polling loop and sixteen completers, no broker, no ledger.
Absolute figures depend on the machine; the ratio to the raw client of the same run is what to compare.
"""

from __future__ import annotations

import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from tests.benchmarks.raw_client import RawClient
from tests.local_stack import LocalStack, running_stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

WARM_UP, SAMPLES, GAP = 3000, 60, 0.25
"""A JVM compiles what it runs often: an engine that has done a few hundred steps is measured cold."""
BURST, WORK, WORKERS = 64, 0.2, 4
IDLE_SECONDS = 20.0
RAW_NOOP, RAW_SLEEP = "bench_raw_noop", "bench_raw_sleep"

console = Console(width=110)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, for ProcOS and for the raw client."""

    name: str
    ours: float
    raw: float | None
    bound: str
    unit: str


def main() -> None:
    """Run the benchmark and print its table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        console.print("bringing up a stack of its own …")
        stack = running.enter_context(
            running_stack(Path(folder), PROCOS_LOG_LEVEL="WARNING", PROCOS_BRIDGE_UNKNOWN_TOPICS="leave")
        )
        _deploy_raw(stack)
        console.print(f"warming up with {WARM_UP} instances …")
        _warm_up(stack)
        rows = [*_latency(stack), _idle(stack), *_burst(stack, running)]
    _print(rows)


def _latency(stack: LocalStack) -> Sequence[Row]:
    console.print(f"latency: {SAMPLES} instances each, one every {GAP} s …")
    ours = _latencies(stack, "sample_noop")
    with RawClient(stack.rest, RAW_NOOP):
        raw = _latencies(stack, RAW_NOOP)
    name, median = "start returned to ended", statistics.median
    return [
        Row(name=f"{name}, median", ours=median(ours), raw=median(raw), bound="≤ 25", unit="ms"),
        Row(name=f"{name}, p95", ours=_p95(ours), raw=_p95(raw), bound="≤ 60", unit="ms"),
    ]


def _p95(figures: Sequence[float]) -> float:
    return statistics.quantiles(figures, n=20)[18]


def _latencies(stack: LocalStack, key: str) -> list[float]:
    returned: dict[str, float] = {}
    for _ in range(SAMPLES):
        returned[stack.start(key)] = time.time()
        time.sleep(GAP)
    wait_until(lambda: stack.finished(list(returned)) == SAMPLES, seconds=30, what="the last instance to end")
    return [1000 * (_ended(stack, instance_id) - moment) for instance_id, moment in returned.items()]


def _idle(stack: LocalStack) -> Row:
    console.print(f"idle: the bridge for {IDLE_SECONDS:.0f} s …")
    bridge = psutil.Process(stack.pid("bridge"))
    before = sum(bridge.cpu_times()[:2])
    time.sleep(IDLE_SECONDS)
    percent = 100 * (sum(bridge.cpu_times()[:2]) - before) / IDLE_SECONDS
    return Row(name="idle bridge", ours=percent, raw=None, bound="≤ 1", unit="% of a core")


def _burst(stack: LocalStack, running: ExitStack) -> Sequence[Row]:
    console.print(f"burst: {BURST} tasks of {WORK} s at once, {WORKERS} ai workers of 16 threads …")
    for _ in range(WORKERS - 1):
        running.enter_context(_ai_worker(stack))
    _wait_for_workers(stack)
    raw = RawClient(stack.rest, RAW_SLEEP, seconds=WORK, threads=BURST)
    ours = min(_burst_seconds(stack, "sample_sleep", lambda: _held(stack)) for _ in range(3))
    theirs = min(_burst_seconds(stack, RAW_SLEEP, lambda: raw) for _ in range(3))
    return [Row(name=f"{BURST} tasks of {WORK} s, best of 3", ours=ours, raw=theirs, bound="≤ 1.5", unit="s")]


def _burst_seconds(stack: LocalStack, key: str, client: Callable[[], AbstractContextManager[object]]) -> float:
    """Let the tasks pile up while nobody fetches, then time how long they take from the moment somebody does."""
    if key == RAW_SLEEP:
        ids = [stack.start(key) for _ in range(BURST)]
        begun = time.time()
        with client():
            wait_until(lambda: stack.finished(ids) == BURST, seconds=60, what="the burst to end")
    else:
        with client():
            ids = [stack.start(key, seconds={"type": "Double", "value": WORK}) for _ in range(BURST)]
            begun = time.time()
        wait_until(lambda: stack.finished(ids) == BURST, seconds=60, what="the burst to end")
    return max(_ended(stack, instance_id) for instance_id in ids) - begun


@contextmanager
def _held(stack: LocalStack) -> Iterator[None]:
    """Stop the bridge's process for a moment."""
    bridge = stack.pid("bridge")
    os.kill(bridge, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bridge, signal.SIGCONT)


@contextmanager
def _ai_worker(stack: LocalStack) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "procos.app", "worker", "-Q", "ai", "-c", "16"]
    environment = {**stack.environment, **stack.settings}
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def _wait_for_workers(stack: LocalStack) -> None:
    def consumers() -> int:
        queues = stack.status_document()["queues"]
        return next(int(queue["consumers"]) for queue in queues if queue["name"] == "ai")

    wait_until(lambda: consumers() == WORKERS, seconds=60, what="the workers to be ready")


def _warm_up(stack: LocalStack) -> None:
    ids = [stack.start("sample_noop") for _ in range(WARM_UP)]
    with RawClient(stack.rest, RAW_NOOP):
        ids += [stack.start(RAW_NOOP) for _ in range(WARM_UP)]
        wait_until(lambda: stack.finished(ids) == len(ids), seconds=240, what="the warm-up to end")


def _deploy_raw(stack: LocalStack) -> None:
    source = (Path(__file__).parents[1] / "samples" / "models" / "sample_noop.bpmn").read_text()
    for key in (RAW_NOOP, RAW_SLEEP):
        stack.deploy_source(key, source.replace("sample_noop", key))


def _ended(stack: LocalStack, instance_id: str) -> float:
    return datetime.strptime(stack.history(instance_id)["endTime"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def _print(rows: Sequence[Row]) -> None:
    table = Table("measure", "ProcOS", "raw client", "ratio", "bound", "unit", title=_machine(), box=None)
    for row in rows:
        raw = "-" if row.raw is None else f"{row.raw:.2f}"
        ratio = "-" if not row.raw else f"{row.ours / row.raw:.2f}"
        table.add_row(row.name, f"{row.ours:.2f}", raw, ratio, row.bound, row.unit)
    console.print(table)


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Camunda 7.24 on H2, history full, events on"


if __name__ == "__main__":
    main()
