"""ProcOS as its users run it: one bridge, results stored; the label says which workers."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from procos.queues import Queue
from tests.benchmarks.contenders.contender import Contender, Place, Work
from tests.benchmarks.contenders.tools import HERE
from tests.benchmarks.processes import Launch
from tests.local_stack import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

BRIDGE, WORKER = "bridge", "worker"
PROCESSES, THREADS = 2, 16
_bridges = count(1)


def _on(
    queue: Queue, *, slots: int, workers: int = 1, events: bool = False, lists: bool = False
) -> Callable[[Place, Work], Sequence[Launch]]:
    """Return what launches a bridge and workers for one queue."""

    def launches(place: Place, work: Work) -> Sequence[Launch]:
        name = f"bench-{next(_bridges)}"
        environment = {
            **_environment(place, work, queue, name, events=events),
            "PROCOS_BRIDGE_BULK_VERDICTS": str(lists).lower(),
        }
        fleet = [_worker(environment, queue, slots, f"{name}-{number}") for number in range(workers)]
        bridge = (sys.executable, "-m", "procos", "bridge")
        all_of_it = [*fleet, Launch(part=BRIDGE, arguments=bridge, environment=environment)]
        return [_profiled(launch, work.profile) for launch in all_of_it] if work.profile else all_of_it

    return launches


def _profiled(launch: Launch, folder: Path) -> Launch:
    interpreter, *module = launch.arguments
    return replace(launch, arguments=(interpreter, str(HERE / "profiled.py"), str(folder), launch.part, *module))


def _worker(environment: Mapping[str, str], queue: Queue, slots: int, name: str) -> Launch:
    command = ("-m", "celery", "-A", "procos.app", "worker", "-Q", queue, "-c", str(slots), "-n", name)
    # As the Procfile does: a prefork worker whose whole group is asked to end gives its tasks time.
    style = {"REMAP_SIGTERM": "SIGQUIT"} if queue is Queue.GENERIC else {}
    arguments = (sys.executable, *command)
    return Launch(part=WORKER, arguments=arguments, environment={**environment, **style}, fetches=False)


def _environment(place: Place, work: Work, queue: Queue, name: str, *, events: bool) -> dict[str, str]:
    lock = {"PROCOS_BRIDGE_LOCK_DURATION": str(work.lock_seconds)} if work.lock_seconds else {}
    runs = {"BENCH_RUNS": str(work.runs)} if work.runs else {}
    return {
        **clean_environment(),
        **place.environment,
        **lock,
        **runs,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        "PROCOS_BRIDGE_REPLICA_ID": name,
        "PROCOS_BRIDGE_HEALTH_PORT": "0",
        "PROCOS_BRIDGE_UNKNOWN_TOPICS": "leave",
        "PROCOS_LOG_LEVEL": "WARNING",
        "PROCOS_WORKER_EVENTS": str(events).lower(),
        "BENCH_TOPIC": work.topic,
        "BENCH_QUEUE": queue,
        "BENCH_SECONDS": str(work.seconds),
    }


PROCOS = Contender(
    name="procos",
    label="ProcOS, a worker of 16 threads",
    launches=_on(Queue.AI, slots=THREADS),
)
PROCOS_LISTS = Contender(
    name="procos-lists",
    label="ProcOS, the same with verdicts in lists",
    launches=_on(Queue.AI, slots=THREADS, lists=True),
)
PROCOS_EVENTS = Contender(
    name="procos-events",
    label="ProcOS, 16 threads with worker events",
    launches=_on(Queue.AI, slots=THREADS, events=True),
)
PROCOS_PROCESSES = Contender(
    name="procos-processes",
    label="ProcOS, a worker of 2 processes",
    launches=_on(Queue.GENERIC, slots=PROCESSES),
)
PROCOS_FLEET = Contender(
    name="procos-fleet",
    label="ProcOS, 4 workers of 16 threads",
    launches=_on(Queue.AI, slots=THREADS, workers=4),
)
PROCOS_WIDE = Contender(
    name="procos-wide",
    label="ProcOS, 2 workers of 128 threads",
    launches=_on(Queue.AI, slots=128, workers=2),
)
PROCOS_WIDE_LISTS = Contender(
    name="procos-wide-lists",
    label="ProcOS, the same with verdicts in lists",
    launches=_on(Queue.AI, slots=128, workers=2, lists=True),
)
