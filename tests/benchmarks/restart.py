"""The engine is stopped while steps run that take five seconds, and comes back ten seconds later.

All contenders live through the same outage, each with ten instances on a topic of its own. Each run of a function is a
line in a file: more lines than instances are results that were ready and got lost, so that the work was done twice.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import Contender, Work
from tests.benchmarks.load import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.benchmarks.load import Deployed
    from tests.benchmarks.rounds import Arena

READY_SECONDS, END_SECONDS = 60.0, 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutagePlan:
    """How long a step takes, when the engine is stopped, and for how long; all in seconds."""

    instances: int
    task_seconds: float
    lock_seconds: int
    stop_after: float
    away: float


WHOLE = OutagePlan(instances=10, task_seconds=5.0, lock_seconds=30, stop_after=3.0, away=10.0)
QUICK = OutagePlan(instances=3, task_seconds=2.0, lock_seconds=12, stop_after=1.0, away=4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a contender made of the outage."""

    contender: str
    instances: int
    running: int
    """Functions at work when the engine was asked to stop."""
    runs: int
    """How often the function ran, all in all."""
    finished: int
    """Instances that have ended."""
    seconds: float | None
    """From the moment the engine answered again until the last instance had ended."""

    @property
    def lost(self) -> int:
        """Results that were ready and had to be worked out again."""
        return self.runs - self.instances


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entrant:
    contender: Contender
    deployed: Deployed
    runs: Path

    def begun(self) -> int:
        """Count the runs."""
        return len(self.runs.read_text("utf-8").splitlines()) if self.runs.exists() else 0


def outages(arena: Arena, contenders: Sequence[Contender], plan: OutagePlan, *, folder: Path) -> list[Outage]:
    """Let all of them live through one outage."""
    entrants = [_entrant(arena, contender, folder) for contender in contenders]
    with ExitStack() as running:
        for entrant in entrants:
            work = Work(
                topic=entrant.deployed.key,
                seconds=plan.task_seconds,
                runs=entrant.runs,
                one_each=True,
                lock_seconds=plan.lock_seconds,
            )
            running.enter_context(arena.at_work(entrant.contender, work))
        _warm(arena, entrants)
        before = _begun(entrants)
        for entrant in entrants:
            arena.load.start(entrant.deployed.key, plan.instances)
        pause(plan.stop_after)
        at_stop = _begun(entrants)
        back = _restart(arena, plan.away)
        _await(lambda: all(_finished(arena, entrant) >= plan.instances for entrant in entrants), END_SECONDS)
        return [_outage(arena, entrant, plan, before, at_stop, back) for entrant in entrants]


def _entrant(arena: Arena, contender: Contender, folder: Path) -> _Entrant:
    deployed = arena.load.deploy(arena.new_key(contender.name))
    return _Entrant(contender=contender, deployed=deployed, runs=folder / f"{deployed.key}.runs")


def _warm(arena: Arena, entrants: Sequence[_Entrant]) -> None:
    """Have each do one step, so that all are connected when it counts."""
    for entrant in entrants:
        arena.load.start(entrant.deployed.key, 1)
    if not _await(lambda: all(_ended(arena, entrant) for entrant in entrants), READY_SECONDS):
        raise TimeoutError(f"not every contender did its first step within {READY_SECONDS:g} s")


def _restart(arena: Arena, away: float) -> float:
    """Stop the engine as an operator would, start it again; returns when it answered."""
    asked = time.monotonic()
    arena.stand.engine.stop()
    pause(max(0.0, asked + away - time.monotonic()))
    arena.stand.engine.start()
    return time.time()


def _outage(
    arena: Arena, entrant: _Entrant, plan: OutagePlan, before: dict[str, int], at_stop: dict[str, int], back: float
) -> Outage:
    key, finished = entrant.deployed.key, _finished(arena, entrant)
    return Outage(
        contender=entrant.contender.name,
        instances=plan.instances,
        running=at_stop[key] - before[key],
        runs=entrant.begun() - before[key],
        finished=finished,
        seconds=arena.load.end(key) - back if finished >= plan.instances else None,
    )


def _begun(entrants: Sequence[_Entrant]) -> dict[str, int]:
    return {entrant.deployed.key: entrant.begun() for entrant in entrants}


def _finished(arena: Arena, entrant: _Entrant) -> int:
    """Count what has ended beside the first step."""
    return _ended(arena, entrant) - 1


def _ended(arena: Arena, entrant: _Entrant) -> int:
    return arena.load.finished(entrant.deployed.key)


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause(1.0)
    return True
