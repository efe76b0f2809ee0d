"""Where the CPU time of bridge and worker goes: a round beside the others, under `contenders/profiled.py`.

It costs some CPU itself, so that its rate counts for nothing; what it shows are proportions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import Work
from tests.benchmarks.load import pause
from tests.benchmarks.rounds import READY_SECONDS, SLOWEST_RATE, run_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.contenders.contender import Contender
    from tests.benchmarks.rounds import Arena

LARGEST = 1500
"""Tasks that are enough to see where time goes."""
SHOWN = 12
REST = "everything else"
WRITTEN_SECONDS = 0.7

Profile = dict[str, dict[str, float]]
"""By part and place: milliseconds of CPU a task."""
Spent = Mapping[str, Mapping[str, float]]
"""By part and place: seconds of CPU since the start."""


def profile(arena: Arena, contender: Contender, *, tasks: int) -> Profile:
    """Do a round under the profiler, no larger than it need be."""
    tasks = min(tasks, LARGEST)
    deployed = arena.load.deploy(arena.new_key(contender.name))
    folder = arena.logs / f"{deployed.key}.profile"
    folder.mkdir()
    try:
        with arena.at_work(contender, Work(topic=deployed.key, profile=folder)) as running:
            done = run_in(arena, running, deployed.key)
            pause(WRITTEN_SECONDS)
            running.hold()
            arena.load.start(deployed.key, tasks)
            before = _read(folder)
            running.release()
            arena.load.await_finished(deployed.key, done + tasks, within=READY_SECONDS + tasks / SLOWEST_RATE)
            pause(WRITTEN_SECONDS)
            return a_task(before, _read(folder), tasks)
    finally:
        arena.load.delete(deployed)


def a_task(before: Spent, after: Spent, tasks: int) -> Profile:
    """Return what was spent between two looks, the largest first, small places together."""
    found: Profile = {}
    for part, spent in after.items():
        known = before.get(part, {})
        grown = {place: seconds - known.get(place, 0.0) for place, seconds in spent.items()}
        largest = sorted(grown.items(), key=lambda line: -line[1])[:SHOWN]
        rest = sum(grown.values()) - sum(seconds for _, seconds in largest)
        found[part] = {place: 1000 * seconds / tasks for place, seconds in [*largest, (REST, rest)] if seconds > 0}
    return found


def _read(folder: Path) -> Spent:
    parts: dict[str, dict[str, float]] = {}
    for file in folder.glob("*.json"):
        spent = parts.setdefault(file.name.partition("-")[0], {})
        for place, seconds in json.loads(file.read_text("utf-8")).items():
            spent[place] = spent.get(place, 0.0) + seconds
    return parts
