"""Goes through the scenarios, engine by engine: each is warmed up, then the contenders take turns."""

from __future__ import annotations

import statistics
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests

from tests.benchmarks.contenders.contender import Work
from tests.benchmarks.contenders.procos import PROCOS
from tests.benchmarks.contenders.table import CONTENDERS
from tests.benchmarks.contenders.tools import MissingError
from tests.benchmarks.figures import in_turn
from tests.benchmarks.latency import latencies
from tests.benchmarks.load import Load
from tests.benchmarks.profiles import profile
from tests.benchmarks.restart import QUICK, WHOLE, outages
from tests.benchmarks.rounds import Arena, run_round
from tests.benchmarks.scenarios import WARM_UP_STEP, Kind
from tests.benchmarks.targets import misses_its_aim
from tests.benchmarks.versions import of_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.benchmarks.contenders.tools import Tools
    from tests.benchmarks.progress import Progress
    from tests.benchmarks.results import Results
    from tests.benchmarks.scenarios import Scenario
    from tests.benchmarks.stand import EngineKind, Services

SLOWEST_WARM_UP = 15.0
IDLE_SECONDS, QUICK_IDLE_SECONDS = 20.0, 2.0
ENOUGH_SAMPLES = 60


class Run:
    """One run of the benchmark."""

    def __init__(
        self, results: Results, *, services: Services, tools: Tools, logs: Path, rounds: int, progress: Progress
    ) -> None:
        self._results, self._services, self._tools = results, services, tools
        self._logs, self._rounds, self._progress = logs, rounds, progress

    def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """Build and install the contenders; one that cannot be had is left out, and said to be.

        Raises:
            MissingError: it is the raw client, without which there is nothing to compare with.
        """
        self._tools.raw()
        for name in dict.fromkeys(name for scenario in scenarios for name in scenario.plans):
            self._progress.say(f"{CONTENDERS[name].label}: looking for it")
            try:
                CONTENDERS[name].prepare(self._tools)
            except MissingError as error:
                self._results.missing[name] = str(error)

    def measure(self, scenarios: Sequence[Scenario]) -> None:
        """Measure every scenario."""
        for kind in dict.fromkeys(scenario.engine for scenario in scenarios):
            self._on(kind, [scenario for scenario in scenarios if scenario.engine == kind])

    def _on(self, kind: EngineKind, scenarios: Sequence[Scenario]) -> None:
        self._progress.say(f"starting {kind.text}")
        with self._services.stand(kind) as stand:
            self._progress.done(f"start {kind.text}")
            self._results.versions.update(of_services(stand))
            arena = Arena(stand=stand, load=Load(stand.rest, self._tools.raw()), tools=self._tools, logs=self._logs)
            if any(scenario.kind is not Kind.RESTART for scenario in scenarios):
                self._warm_up(arena, kind)
            for scenario in scenarios:
                self._measure(arena, scenario)

    def _measure(self, arena: Arena, scenario: Scenario) -> None:
        names = [name for name in scenario.plans if name not in self._results.missing]
        match scenario.kind:
            case Kind.DRAIN:
                self._drain(arena, scenario, names)
            case Kind.LATENCY:
                for name in names:
                    with self._noted(f"{scenario.name} {name}"):
                        self._latency(arena, name, scenario.plans[name].tasks)
            case Kind.RESTART:
                with self._noted(scenario.name):
                    contenders = [CONTENDERS[name] for name in names]
                    self._results.outages = outages(
                        arena, contenders, QUICK if self._results.is_quick else WHOLE, folder=self._logs
                    )

    def _warm_up(self, arena: Arena, kind: EngineKind) -> None:
        """Let the engine's JVM compile what it runs often: before some 20,000 tasks it is measured cold."""
        tasks = self._results.warm_up
        deployed = arena.load.deploy(arena.new_key("warm_up"))
        with arena.at_work(CONTENDERS["raw"], Work(topic=deployed.key)):
            for done in range(0, tasks, WARM_UP_STEP):
                begun = time.monotonic()
                self._progress.say(f"warming up {kind.text}: {done} of {tasks} tasks")
                arena.load.start(deployed.key, min(WARM_UP_STEP, tasks - done))
                self._progress.done(f"warm-up {kind.text}", time.monotonic() - begun)
            arena.load.await_finished(deployed.key, tasks, within=60 + tasks / SLOWEST_WARM_UP)
        arena.load.delete(deployed)

    def _drain(self, arena: Arena, scenario: Scenario, names: Sequence[str]) -> None:
        found = self._results.rounds.setdefault(scenario.name, [])
        for number in range(min(self._rounds, scenario.most_rounds)):
            for name in in_turn(names, number):
                with self._noted(f"{scenario.name} {name}"):
                    result = run_round(arena, CONTENDERS[name], scenario.plans[name], number)
                    found.append(result)
                    self._progress.say(f"{scenario.name}, round {number + 1}, {name}: {result.rate:.0f} tasks/s")

        if misses_its_aim(self._results, scenario.name) and PROCOS.name in names:
            with self._noted(f"{scenario.name} profile"):
                self._results.profiles[scenario.name] = profile(arena, PROCOS, tasks=scenario.plans[PROCOS.name].tasks)

    def _latency(self, arena: Arena, name: str, samples: int) -> None:
        seconds = IDLE_SECONDS if samples >= ENOUGH_SAMPLES else QUICK_IDLE_SECONDS
        found, idle = latencies(arena, CONTENDERS[name], samples=samples, idle_seconds=seconds)
        self._results.latencies[name] = found
        if name == PROCOS.name:
            self._results.idle_bridge = idle
        self._progress.say(f"latency, {name}: {1000 * statistics.median(found):.1f} ms")

    @contextmanager
    def _noted(self, piece: str) -> Iterator[None]:
        """Note a failure, and go on with the next piece."""
        begun = time.monotonic()
        try:
            yield
        except (RuntimeError, TimeoutError, requests.RequestException, subprocess.SubprocessError) as error:
            self._results.failures.append(f"{piece}: {error}")
            self._progress.say(f"FAILED {piece}: {error}")
        self._progress.done(piece, time.monotonic() - begun)
