"""The arithmetic of the benchmark: medians with their spread, ratios within a round, milliseconds a task."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.benchmarks.rounds import RoundResult

OURS = ("bridge", "worker", "broker", "redis")
"""What ProcOS adds to the engine and its database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure of several rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread | None:
        """Return the spread, None where there are no figures."""
        known = sorted(figures)
        return cls(low=known[0], median=statistics.median(known), high=known[-1]) if known else None


def p95(figures: Sequence[float]) -> float:
    """Return the figure that one in twenty exceeds."""
    return statistics.quantiles(figures, n=20, method="inclusive")[18] if len(figures) > 1 else figures[0]


def ratios(rounds: Sequence[RoundResult], contender: str, to: str) -> list[float]:
    """Return, round by round, a contender's rate as a part of another's in the same round."""
    rates = {one.number: one.rate for one in rounds if one.contender == to}
    return [one.rate / rates[one.number] for one in rounds if one.contender == contender and one.number in rates]


def rates_beside(mine: Sequence[RoundResult], others: Sequence[RoundResult]) -> Spread | None:
    """Return how often the median steady rate of others fits into mine; None where one of them has no rounds."""
    base = Spread.of(one.steady for one in others)
    return Spread.of(one.steady / base.median for one in mine) if base else None


def milliseconds_a_task(result: RoundResult) -> Mapping[str, float]:
    """Return the CPU of a round by part, in milliseconds a task."""
    return {part: 1000 * seconds / result.tasks for part, seconds in result.cpu.items()}


def ours_a_task(result: RoundResult) -> float:
    """Return what ProcOS itself costs a task, in milliseconds: all but the engine and its database."""
    return sum(value for part, value in milliseconds_a_task(result).items() if part in OURS)


def in_turn(contenders: Sequence[str], number: int) -> list[str]:
    """Order the contenders of a round: each begins in turn, so that none always meets a rested engine."""
    shift = number % len(contenders) if contenders else 0
    return [*contenders[shift:], *contenders[:shift]]
