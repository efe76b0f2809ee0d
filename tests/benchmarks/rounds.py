"""One round: a contender, N instances that wait for it, and the time and CPU it takes from its first fetch to the end.

The contender works on a few instances first, so that it is connected and known to work. Then what fetches is held
while the others are started, and let go: that moment is the beginning, the last `endTime` of history is the end.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import Place, Work
from tests.benchmarks.load import pause
from tests.benchmarks.processes import Program, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.contenders.contender import Contender
    from tests.benchmarks.contenders.tools import Tools
    from tests.benchmarks.load import Load
    from tests.benchmarks.stand import Stand

RUN_IN = 40
READY_SECONDS = 60.0
READY_QUESTION_SECONDS = 0.2
SLOWEST_RATE = 2.0
"""Tasks a second below which a round has failed."""
_keys = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """How many tasks a contender gets, and what each is like."""

    tasks: int
    rate: float
    """Tasks a second it is expected to do, for the estimate alone."""
    seconds: float = 0.0
    slots: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What a round has shown."""

    contender: str
    number: int
    tasks: int
    seconds: float
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Seconds of CPU by part, from the beginning until the end was noticed."""

    steady: float = 0.0
    """Tasks a second between a tenth and nine tenths of the ends: without the beginning, and the last few."""

    @property
    def rate(self) -> float:
        """Tasks a second, from the first fetch to the last end."""
        return self.tasks / self.seconds


class Running:
    """A contender at work."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs

    def hold(self) -> None:
        """Keep it from fetching."""
        for program in self._fetching():
            program.hold()

    def release(self) -> None:
        """Let it fetch."""
        for program in self._fetching():
            program.release()

    def require_alive(self) -> None:
        """Go on if all of it runs."""
        for program in self._programs:
            program.require_alive()

    def pids(self, part: str) -> list[int]:
        """Return the processes that were started for a part."""
        return [program.pid for program in self._programs if program.launch.part == part]

    def cpu(self) -> dict[str, float]:
        """Return the seconds of CPU each of its parts has used."""
        parts = dict.fromkeys(program.launch.part for program in self._programs)
        return {part: cpu_seconds(self.pids(part)) for part in parts}

    def _fetching(self) -> list[Program]:
        return [program for program in self._programs if program.launch.fetches]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """Where rounds take place: one engine, its load, and the folder the programs' words go to."""

    stand: Stand
    load: Load
    tools: Tools
    logs: Path

    def new_key(self, contender: str) -> str:
        """Return a definition key and topic nobody has used."""
        return f"bench_{contender.replace('-', '_')}_{next(_keys)}"

    @contextmanager
    def at_work(self, contender: Contender, work: Work) -> Iterator[Running]:
        """Run a contender for the length of the block."""
        place = Place(rest=self.stand.rest, environment=self.stand.environment, tools=self.tools)
        programs: list[Program] = []
        try:
            for launch in contender.launches(place, work):
                programs.append(Program(launch, self.logs / f"{work.topic}-{launch.part}-{len(programs)}.log"))
            yield Running(programs)
        finally:
            for program in reversed(programs):
                program.end()


def run_round(arena: Arena, contender: Contender, plan: RoundPlan, number: int) -> RoundResult:
    """Do one round."""
    deployed = arena.load.deploy(arena.new_key(contender.name))
    work = Work(topic=deployed.key, seconds=plan.seconds, slots=plan.slots)
    try:
        with arena.at_work(contender, work) as running:
            done = run_in(arena, running, deployed.key)
            running.hold()
            arena.load.start(deployed.key, plan.tasks)
            return _measured(arena, running, deployed.key, contender.name, plan, number, done=done)
    finally:
        arena.load.delete(deployed)


def run_in(arena: Arena, running: Running, key: str) -> int:
    """Have a contender do its first steps, which shows that it is there; returns how many.

    Raises:
        RuntimeError: one of its programs has ended.
        TimeoutError: it does none.
    """
    arena.load.start(key, RUN_IN)
    deadline = time.monotonic() + READY_SECONDS
    while arena.load.finished(key) < RUN_IN:
        running.require_alive()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the contender of {key} was not ready within {READY_SECONDS:g} s")
        pause(READY_QUESTION_SECONDS)
    return RUN_IN


def _measured(
    arena: Arena, running: Running, key: str, name: str, plan: RoundPlan, number: int, *, done: int
) -> RoundResult:
    before = _cpu(arena, running)
    begun = time.time()
    running.release()
    arena.load.await_finished(key, done + plan.tasks, within=READY_SECONDS + plan.tasks / SLOWEST_RATE)
    after = _cpu(arena, running)
    return RoundResult(
        contender=name,
        number=number,
        tasks=plan.tasks,
        seconds=arena.load.end(key) - begun,
        steady=_steady(arena, key, plan.tasks),
        cpu={part: after[part] - before[part] for part in after},
    )


def _steady(arena: Arena, key: str, tasks: int) -> float:
    edge = tasks // 10
    seconds = arena.load.end(key, edge) - arena.load.end(key, tasks - edge)
    return (tasks - 2 * edge) / seconds if seconds > 0 else 0.0


def _cpu(arena: Arena, running: Running) -> dict[str, float]:
    return {**arena.stand.cpu(), **running.cpu()}
