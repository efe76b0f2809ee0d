"""Says where a run is and how long it will take: an estimate made beforehand, corrected by how it went so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.benchmarks.scenarios import WARM_UP_STEP, Kind
from tests.benchmarks.stand import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.benchmarks.scenarios import Scenario

ENGINE_START, ROUND_OVERHEAD, LATENCY, RESTART = 15.0, 8.0, 20.0, 100.0
START_RATE, START_RATE_POSTGRES = 1200.0, 450.0
WARM_UP_RATE, WARM_UP_RATE_POSTGRES = 450.0, 170.0
"""Tasks a second that are started, or started and done."""


class Progress:
    """The estimated seconds of every piece of work, by name; a piece may be done several times."""

    def __init__(self, console: Console, pieces: Sequence[tuple[str, float]]) -> None:
        self._console, self._begun = console, time.monotonic()
        self._left = list(pieces)
        self._expected = self._took = 0.0

    def say(self, words: str) -> None:
        """Print a line with the time spent and the time that is left."""
        self._console.print(f"{_clock(time.monotonic() - self._begun)}, {_clock(self.left)} to go: {words}")

    def done(self, name: str, took: float | None = None) -> None:
        """Take a piece of work off the estimate; what it took corrects the rest."""
        for piece in self._left:
            if piece[0] == name:
                self._left.remove(piece)
                self._expected += piece[1]
                self._took += piece[1] if took is None else took
                return

    @property
    def left(self) -> float:
        """The seconds what is left will take."""
        correction = self._took / self._expected if self._expected else 1.0
        return correction * sum(seconds for _, seconds in self._left)


def estimated(scenarios: Sequence[Scenario], *, rounds: int, warm_up: int) -> list[tuple[str, float]]:
    """Return every piece of a run with the seconds it may take."""
    pieces: list[tuple[str, float]] = []
    for kind in dict.fromkeys(scenario.engine for scenario in scenarios):
        rate = WARM_UP_RATE_POSTGRES if kind.database == POSTGRES else WARM_UP_RATE
        mine = [scenario for scenario in scenarios if scenario.engine == kind]
        pieces.append((f"start {kind.text}", ENGINE_START))
        if any(scenario.kind is not Kind.RESTART for scenario in mine):
            steps = range(0, warm_up, WARM_UP_STEP)
            pieces += [(f"warm-up {kind.text}", min(WARM_UP_STEP, warm_up - done) / rate) for done in steps]
        pieces += [piece for scenario in mine for piece in _pieces(scenario, rounds)]
    return pieces


def _pieces(scenario: Scenario, rounds: int) -> list[tuple[str, float]]:
    if scenario.kind is Kind.RESTART:
        return [(scenario.name, RESTART)]
    if scenario.kind is Kind.LATENCY:
        return [(f"{scenario.name} {name}", LATENCY + plan.tasks / plan.rate) for name, plan in scenario.plans.items()]
    start_rate = START_RATE_POSTGRES if scenario.engine.database == POSTGRES else START_RATE
    return [
        (f"{scenario.name} {name}", ROUND_OVERHEAD + plan.tasks / start_rate + plan.tasks / plan.rate)
        for name, plan in scenario.plans.items()
        for _ in range(min(rounds, scenario.most_rounds))
    ]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
