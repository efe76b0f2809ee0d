"""CPU of ways to do the same, in rounds that take turns, so that a noisy moment strikes all of them."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def milliseconds(ways: Mapping[str, Callable[[], object]], *, rounds: int, calls: int) -> Mapping[str, float]:
    """Return the median CPU of one call, in milliseconds, of each way."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        _one_round(way, max(calls // 10, 1))
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(_one_round(way, calls))
    return {name: statistics.median(each) for name, each in spent.items()}


def _one_round(way: Callable[[], object], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        way()
    return (time.process_time() - began) * 1000 / calls
