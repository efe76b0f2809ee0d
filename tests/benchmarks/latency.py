"""How soon an idle system has done a step: one instance at a time, from the moment its start has returned to its end.

The end is history's, cut to whole milliseconds by the engine. While nobody asks for anything, the bridge's CPU is
measured too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import Work
from tests.benchmarks.contenders.procos import BRIDGE
from tests.benchmarks.load import pause
from tests.benchmarks.rounds import run_in

if TYPE_CHECKING:
    from tests.benchmarks.contenders.contender import Contender
    from tests.benchmarks.rounds import Arena, Running

GAP, SETTLE = 0.4, 2.0
WITHIN = 30.0


def latencies(arena: Arena, contender: Contender, *, samples: int, idle_seconds: float) -> tuple[list[float], float]:
    """Return the seconds each instance took, and the part of a core the bridge used afterwards."""
    deployed = arena.load.deploy(arena.new_key(contender.name))
    try:
        with arena.at_work(contender, Work(topic=deployed.key)) as running:
            done = run_in(arena, running, deployed.key)
            pause(SETTLE)
            returned = _started(arena, deployed.key, samples)
            arena.load.await_finished(deployed.key, done + samples, within=WITHIN)
            ends = arena.load.ends(deployed.key)
            idle = _idle(running, idle_seconds) if running.pids(BRIDGE) else 0.0
            return [ends[instance] - moment for instance, moment in returned.items()], idle
    finally:
        arena.load.delete(deployed)


def _started(arena: Arena, key: str, samples: int) -> dict[str, float]:
    returned: dict[str, float] = {}
    for _ in range(samples):
        returned[arena.load.start_one(key)] = time.time()
        pause(GAP)
    return returned


def _idle(running: Running, seconds: float) -> float:
    before = running.cpu()[BRIDGE]
    pause(seconds)
    return (running.cpu()[BRIDGE] - before) / seconds
