"""What ProcOS is held to: for each measure the least that counts as good, and what it aims at.

A measure without figures is not met; it is shown as not measured.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.figures import Spread, milliseconds_a_task, ours_a_task, p95, rates_beside, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.results import Results

SLOTS_RATE = 80.0
"""Tasks a second that 16 slots can do of 200 ms each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One measure, and its two bounds."""

    text: str
    scenario: str = ""
    """The scenario whose profile shows why the aim is missed."""
    figure: Callable[[Results], Spread | None]
    unit: str = ""
    digits: int = 2
    floor: float | None = None
    aim: float | None = None
    larger_is_better: bool = True

    def reaches(self, figure: Spread | None, bound: float | None) -> bool | None:
        """Whether the median reaches a bound; None where there is no bound."""
        if bound is None:
            return None
        if figure is None:
            return False
        return figure.median >= bound if self.larger_is_better else figure.median <= bound


def _ratio(scenario: str, contender: str = "procos") -> Callable[[Results], Spread | None]:
    return lambda results: Spread.of(ratios(results.rounds.get(scenario, []), contender, "raw"))


def _beside(scenario: str, contender: str, to: str) -> Callable[[Results], Spread | None]:
    return lambda results: rates_beside(results.of(scenario, contender), results.of(scenario, to))


def _cost(scenario: str, contender: str) -> Callable[[Results], Spread | None]:
    return lambda results: Spread.of(map(ours_a_task, results.of(scenario, contender)))


def _engine_cost(scenario: str) -> Callable[[Results], Spread | None]:
    def figure(results: Results) -> Spread | None:
        raw = [milliseconds_a_task(one)["engine"] for one in results.of(scenario, "raw")]
        ours = [milliseconds_a_task(one)["engine"] for one in results.of(scenario, "procos")]
        return Spread.of(one / statistics.median(raw) for one in ours) if raw else None

    return figure


def _of_slots(contender: str) -> Callable[[Results], Spread | None]:
    return lambda results: Spread.of(100 * one.steady / SLOTS_RATE for one in results.of("wait-16", contender))


def _latency(pick: Callable[[list[float]], float]) -> Callable[[Results], Spread | None]:
    def figure(results: Results) -> Spread | None:
        found = results.latencies.get("procos")
        return Spread.of([1000 * pick(found)]) if found else None

    return figure


def _idle(results: Results) -> Spread | None:
    return None if results.idle_bridge is None else Spread.of([100 * results.idle_bridge])


def _burst(results: Results) -> Spread | None:
    return Spread.of(sorted(one.seconds for one in results.of("burst", "procos-fleet"))[:1])


def _lost(results: Results) -> Spread | None:
    return Spread.of(float(one.lost) for one in results.outages if one.contender == "procos")


TARGETS = (
    Target(
        text="no-op, PostgreSQL, verdicts one by one, ratio to raw",
        scenario="noop-pg",
        figure=_ratio("noop-pg"),
        floor=0.52,
        aim=0.65,
    ),
    Target(
        text="the same with verdicts in lists",
        scenario="noop-pg",
        figure=_ratio("noop-pg", "procos-lists"),
        floor=0.65,
        aim=0.85,
    ),
    Target(
        text="no-op, H2, verdicts one by one, ratio to raw",
        scenario="noop-h2",
        figure=_ratio("noop-h2"),
        floor=0.30,
        aim=0.42,
    ),
    Target(
        text="the same with verdicts in lists",
        scenario="noop-h2",
        figure=_ratio("noop-h2", "procos-lists"),
        floor=0.36,
        aim=0.50,
    ),
    Target(
        text="CPU a task of bridge, worker, broker and Redis, H2, events off",
        scenario="noop-h2",
        figure=_cost("noop-h2", "procos"),
        unit="ms",
        floor=4.5,
        aim=2.6,
        larger_is_better=False,
    ),
    Target(
        text="the same with worker events on",
        figure=_cost("noop-h2", "procos-events"),
        unit="ms",
        larger_is_better=False,
    ),
    Target(
        text="the same on PostgreSQL, events off",
        scenario="noop-pg",
        figure=_cost("noop-pg", "procos"),
        unit="ms",
        floor=4.5,
        aim=2.6,
        larger_is_better=False,
    ),
    Target(
        text="the engine's CPU a task, H2, as a multiple of raw's",
        figure=_engine_cost("noop-h2"),
        aim=1.2,
        larger_is_better=False,
    ),
    Target(
        text="the engine's CPU a task, PostgreSQL (database apart), as a multiple of raw's",
        figure=_engine_cost("noop-pg"),
        aim=1.2,
        larger_is_better=False,
    ),
    Target(
        text="steps of 200 ms, 16 slots, verdicts one by one, of 80 a second",
        figure=_of_slots("procos"),
        unit="%",
        digits=1,
        floor=95.0,
    ),
    Target(text="the same with verdicts in lists", figure=_of_slots("procos-lists"), unit="%", digits=1, floor=95.0),
    Target(
        text="steps of 200 ms, 256 slots, beside operaton-tasks, the best Python peer",
        figure=_beside("wait-256", "procos-wide", "operaton"),
        unit="times",
        floor=1.7,
    ),
    Target(
        text="the same beside the JavaScript client",
        figure=_beside("wait-256", "procos-wide", "js"),
        unit="times",
        aim=0.8,
    ),
    Target(
        text="256 slots with verdicts in lists, beside operaton-tasks",
        figure=_beside("wait-256", "procos-wide-lists", "operaton"),
        unit="times",
    ),
    Target(
        text="idle latency, start returned to ended, median",
        figure=_latency(statistics.median),
        unit="ms",
        digits=1,
        floor=20.0,
        aim=12.0,
        larger_is_better=False,
    ),
    Target(
        text="the same, p95",
        figure=_latency(p95),
        unit="ms",
        digits=1,
        floor=40.0,
        aim=20.0,
        larger_is_better=False,
    ),
    Target(text="idle bridge, of one core", figure=_idle, unit="%", floor=1.0, larger_is_better=False),
    Target(
        text="64 steps of 200 ms at once, 4 workers of 16, best of the rounds",
        figure=_burst,
        unit="s",
        floor=1.5,
        larger_is_better=False,
    ),
    Target(
        text="results lost while the engine is restarted",
        figure=_lost,
        digits=0,
        floor=0.0,
        larger_is_better=False,
    ),
)


def misses_its_aim(results: Results, scenario: str) -> bool:
    """Whether an aim is missed that the profile of this scenario would explain."""
    return any(
        target.reaches(target.figure(results), target.aim) is False for target in TARGETS if target.scenario == scenario
    )
