"""What a fetch costs when a hundred thousand external tasks wait in the engine, beside what it costs at a thousand.

Fetches are the bridge's own, of its largest step. Locks are so short that what was fetched waits again a moment later.
On PostgreSQL our engine has an index for their order; H2 sorts all that waits (docs/operating.md).
The engine is warm: the plain Java of a first fetch costs more than any number of waiting tasks.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.poller import LARGEST_FETCH
from procos.domain.external_task import Topic
from procos.engine.http import HttpEngine
from procos.engine.subscription import Subscription
from procos.engine.transport import Transport
from procos.settings import load_settings
from tests.benchmarks.load import pause
from tests.benchmarks.scale.programs import TOPIC, deploy, fill
from tests.benchmarks.scale.rows import Row
from tests.benchmarks.stand import H2_FILE, POSTGRES, EngineKind, Services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.domain.external_task import ExternalTask
    from tests.benchmarks.scale.programs import Ground
    from tests.benchmarks.stand import Stand

FEW, MANY = 1_000, 100_000
LOCK = timedelta(seconds=2)
FETCHES, ROUNDS, WARM_UP_ROUNDS = 8, 5, 15
MOST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one fetched task costs, in milliseconds."""

    wall: float
    cpu: float
    """Of the engine and its database."""


class Waiting:
    """An engine in which tasks wait."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._engine = HttpEngine(Transport(load_settings(stand.environment, dotenv=None).engine))

    def cost(self, rounds: int) -> Cost:
        """Fetch again and again, and return the median of what a task costs."""
        found = [self._round() for _ in range(rounds)]
        return Cost(wall=statistics.median(c.wall for c in found), cpu=statistics.median(c.cpu for c in found))

    def _round(self) -> Cost:
        pause(LOCK.total_seconds() + 0.2)
        cpu, began, tasks = self._used(), time.monotonic(), 0
        for _ in range(FETCHES):
            tasks += len(self._fetch())
        wall, used = time.monotonic() - began, self._used() - cpu
        if tasks != FETCHES * LARGEST_FETCH:
            raise RuntimeError(f"{tasks} tasks were fetched, expected {FETCHES * LARGEST_FETCH}")
        return Cost(wall=1000 * wall / tasks, cpu=1000 * used / tasks)

    def _fetch(self) -> Sequence[ExternalTask]:
        wanted = Subscription(topic=Topic(TOPIC), lock_duration=LOCK, variables=("number",))
        return self._engine.fetch_and_lock("scale/generic", [wanted], max_tasks=LARGEST_FETCH, wait=timedelta(0))

    def _used(self) -> float:
        used = self._stand.cpu()
        return sum(seconds for part, seconds in used.items() if part not in {"broker", "redis"})


def measure(ground: Ground) -> list[Row]:
    """Return what a fetch costs, on both databases."""
    services = Services(ground.folder, ground.ports, ground.engine_jar)
    rows = []
    with services.running():
        for database, name in ((H2_FILE, "H2"), (POSTGRES, "PostgreSQL")):
            with services.stand(EngineKind(database=database)) as stand:
                rows += _rows(name, stand)
    return rows


def _rows(name: str, stand: Stand) -> list[Row]:
    deploy(stand.rest)
    waiting = Waiting(stand)
    fill(stand.rest, FEW)
    waiting.cost(WARM_UP_ROUNDS)
    few = waiting.cost(ROUNDS)
    fill(stand.rest, MANY - FEW)
    return _compared(name, few, waiting.cost(ROUNDS))


def _compared(name: str, few: Cost, many: Cost) -> list[Row]:
    name = f"fetch at 100,000 waiting ÷ at 1,000, {name}"
    cpu, wall = f"{few.cpu:.2f} → {many.cpu:.2f} ms", f"{few.wall:.2f} → {many.wall:.2f} ms"
    return [
        Row(name=f"{name}, CPU", value=many.cpu / few.cpu, unit="times", floor=MOST, note=f"{cpu} a task"),
        Row(name=f"{name}, time", value=many.wall / few.wall, unit="times", floor=MOST, note=f"{wall} a task"),
    ]
