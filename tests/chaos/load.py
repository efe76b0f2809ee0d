"""The load of a case: instances started at moments drawn by the seed, past every fault, and counted until they end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from tests.services import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from tests.chaos.stack import Stack

ORDER, POISON = "chaos_order", "chaos_poison"
SHORTEST, LONGEST = 0.05, 0.5
"""Seconds of work in a step, drawn for each instance."""
RETRY_SECONDS = 0.5
JOIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One instance to start: when, counted from the begin of the load, and how much work its steps are."""

    model: str
    business_key: str
    after: float
    seconds: float


def drawn(case: str, model: str, instances: int, over: float, rng: random.Random) -> list[Order]:
    """Draw the instances of a case, in the order of their starts."""
    moments = sorted(rng.uniform(0.0, over) for _ in range(instances))
    return [
        Order(
            model=model,
            business_key=f"{case}.{model}.{number:03}",
            after=moment,
            seconds=round(rng.uniform(SHORTEST, LONGEST), 3),
        )
        for number, moment in enumerate(moments, start=1)
    ]


class Load:
    """Starts the instances on a thread of its own; while the engine is away, it tries each again until it is back."""

    def __init__(self, stack: Stack, orders: Sequence[Order], effects_file: Path) -> None:
        self._stack, self._orders, self._effects = stack, orders, effects_file
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.started = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until every instance is started.

        Raises:
            TimeoutError: the engine took them not in time.
        """
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"only {self.started} of {len(self._orders)} instances could be started")

    def _run(self) -> None:
        begun = time.monotonic()
        for order in self._orders:
            pause(max(begun + order.after - time.monotonic(), 0.0))
            while not self._is_started(order):
                pause(RETRY_SECONDS)
            self.started += 1

    def _is_started(self, order: Order) -> bool:
        variables = {"seconds": order.seconds, "effects_file": str(self._effects)}
        try:
            self._stack.view.start(order.model, order.business_key, variables)
        except requests.RequestException:
            return False
        return True
