"""What is measured: each scenario names its engine, its contenders and how much each of them gets to do.

Scenarios on the same kind of engine share it, and its warm-up. A slower contender gets fewer tasks, so that a round
takes about as long for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.benchmarks.rounds import RoundPlan
from tests.benchmarks.stand import H2, H2_FILE, POSTGRES, EngineKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROUNDS, FEW_ROUNDS, QUICK_ROUNDS = 3, 2, 1
WARM_UP, QUICK_WARM_UP = 20_000, 100
WARM_UP_STEP = 2000
QUICK_PART = 20
FEWEST = 20


class Kind(StrEnum):
    """How a scenario is measured."""

    DRAIN = "drain"
    LATENCY = "latency"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table of the document."""

    name: str
    title: str
    engine: EngineKind
    plans: Mapping[str, RoundPlan] = field(default_factory=dict)
    """What each contender gets to do, in the order of the table."""
    kind: Kind = Kind.DRAIN
    most_rounds: int = 100
    """Rounds after which nothing new is learnt."""

    def quick(self) -> Scenario:
        """Return the same with little to do."""
        plans = {
            name: replace(plan, tasks=min(plan.tasks, max(FEWEST, plan.tasks // QUICK_PART)))
            for name, plan in self.plans.items()
        }
        return replace(self, plans=plans)

    def among(self, contenders: Sequence[str]) -> Scenario:
        """Return the same for some contenders alone."""
        return replace(self, plans={name: plan for name, plan in self.plans.items() if name in contenders})


def _noop(tasks: Mapping[str, tuple[int, float]]) -> dict[str, RoundPlan]:
    return {name: RoundPlan(tasks=count, rate=rate) for name, (count, rate) in tasks.items()}


def _waiting(tasks: Mapping[str, tuple[int, int, float]]) -> dict[str, RoundPlan]:
    return {
        name: RoundPlan(tasks=count, seconds=0.2, slots=slots, rate=rate)
        for name, (count, slots, rate) in tasks.items()
    }


ON_H2, ON_H2_FILE, ON_POSTGRES = (EngineKind(database=database) for database in (H2, H2_FILE, POSTGRES))

SCENARIOS = (
    Scenario(
        name="noop-h2",
        title="A step that does nothing, H2 in memory",
        engine=ON_H2,
        plans=_noop(
            {
                "raw": (2500, 900),
                "procos": (2500, 330),
                "procos-lists": (2500, 400),
                "procos-events": (1500, 300),
                "procos-processes": (1000, 250),
                "js": (2500, 600),
                "py3": (1500, 400),
            }
        ),
    ),
    Scenario(
        name="wait-16",
        title="Steps of 200 ms, 16 at a time, H2 in memory",
        engine=ON_H2,
        plans=_waiting({"procos": (1600, 16, 80), "procos-lists": (1600, 16, 80)}),
    ),
    Scenario(
        name="wait-256",
        title="Steps of 200 ms, as many at a time as the client can, H2 in memory",
        engine=ON_H2,
        plans=_waiting(
            {
                "procos-wide": (2000, 256, 250),
                "procos-wide-lists": (2000, 256, 280),
                "js": (2000, 500, 370),
                "operaton": (800, 256, 110),
                "py3": (80, 4, 19),
            }
        ),
    ),
    Scenario(
        name="burst",
        title="64 steps of 200 ms at once, H2 in memory",
        engine=ON_H2,
        plans=_waiting({"raw": (64, 64, 100), "procos-fleet": (64, 64, 60)}),
        most_rounds=FEW_ROUNDS,
    ),
    Scenario(
        name="latency",
        title="One step on an idle system, H2 in memory",
        engine=ON_H2,
        plans=_noop({"raw": (60, 2), "procos": (60, 2)}),
        kind=Kind.LATENCY,
    ),
    Scenario(
        name="noop-pg",
        title="A step that does nothing, PostgreSQL",
        engine=ON_POSTGRES,
        plans=_noop(
            {
                "raw": (1500, 280),
                "procos": (1500, 180),
                "procos-lists": (1500, 220),
                "js": (1500, 220),
                "py3": (1200, 190),
            }
        ),
    ),
    Scenario(
        name="restart",
        title="The engine is stopped while steps of 5 s run, H2 in a file",
        engine=ON_H2_FILE,
        plans=_noop({"procos": (10, 1), "js": (10, 1), "py3": (10, 1)}),
        kind=Kind.RESTART,
        most_rounds=FEW_ROUNDS,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
