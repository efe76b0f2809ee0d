"""Ten thousand external tasks in flight that wait in their queue: what the bridge weighs, and what their leases cost.

Nobody works on them. Once every lease has been extended for the first time, the extensions of a minute are counted;
what one of them costs bridge, engine and Redis is measured on some hundred, with the bridge held: the product is the
lock traffic. What the bridge uses altogether stands beside it.
"""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil

from bridge.lease_keeper import LeaseKeeper
from bridge.ledger import Ledger
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.settings import load_settings
from tests.benchmarks.load import pause
from tests.benchmarks.processes import Program, cpu_seconds
from tests.benchmarks.scale.programs import QUEUE, READY_SECONDS, await_true, bridge, deploy, fill, metric
from tests.benchmarks.scale.rows import Row
from tests.benchmarks.stand import H2, EngineKind, Services

if TYPE_CHECKING:
    from tests.benchmarks.scale.programs import Ground
    from tests.benchmarks.stand import Stand

COUNT = 10_000
FILL_SECONDS = 240.0
FIRST_ROUND_SECONDS = 600.0
LOCK = timedelta(seconds=300)
"""The default; half of it is how long the first round of extensions takes, on a machine that is not overloaded."""
WINDOW, WINDOWS = 5.0, 12
SAMPLE, WARM_UP = 300, 300
MOST_MEGABYTES, MOST_TRAFFIC, AIMED_TRAFFIC, MOST_UNEVEN = 300.0, 8.0, 5.0, 1.5
EXTENSIONS = "procos_bridge_lock_extensions_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """A minute in which nothing happens but what keeps ten thousand in flight."""

    extensions: list[float]
    """In each window of some seconds."""
    cores: dict[str, float]
    """Of one core, by part."""
    megabytes: float

    @property
    def per_second(self) -> float:
        """Extensions a second."""
        return sum(self.extensions) / (len(self.extensions) * WINDOW)


def measure(ground: Ground) -> list[Row]:
    """Return what ten thousand in flight cost."""
    services = Services(ground.folder, ground.ports, ground.engine_jar)
    with services.running(), services.stand(EngineKind(database=H2)) as stand, ExitStack() as running:
        deploy(stand.rest)
        fill(stand.rest, COUNT)
        port = ground.ports.choose()
        room = {"PROCOS_BRIDGE_CAPACITY": str(COUNT), "PROCOS_BRIDGE_LEAST_IN_FLIGHT": str(COUNT)}
        program = Program(bridge(stand.environment, "scale", port, **room), ground.folder / "bridge.log")
        running.callback(program.end)
        _await_steadiness(Ledger(load_settings(stand.environment, dotenv=None).redis))
        steady = _steady(stand, program, port)
        program.hold()
        cost = _cost(stand)
        program.release()
    return _rows(steady, cost)


def _await_steadiness(ledger: Ledger) -> None:
    """Wait until all are in flight, and each lease has been extended once: until then spans are those of the fetch."""
    await_true(
        lambda: ledger.in_flight(QUEUE) >= COUNT, seconds=READY_SECONDS + FILL_SECONDS, what=f"{COUNT} in flight"
    )
    await_true(
        lambda: ledger.due_within(QUEUE, [LOCK / 2])[0] < COUNT / 1000, seconds=FIRST_ROUND_SECONDS, what="all extended"
    )


def _steady(stand: Stand, program: Program, port: int) -> Steady:
    """Watch for a minute."""
    before, used, began = stand.cpu(), cpu_seconds([program.pid]), time.monotonic()
    counts = [metric(port, EXTENSIONS)]
    for number in range(1, WINDOWS + 1):
        pause(max(began + number * WINDOW - time.monotonic(), 0.0))
        counts.append(metric(port, EXTENSIONS))
    seconds = time.monotonic() - began
    cores = {part: (after - before[part]) / seconds for part, after in stand.cpu().items()}
    cores["bridge"] = (cpu_seconds([program.pid]) - used) / seconds
    return Steady(
        extensions=[later - earlier for earlier, later in pairwise(counts)],
        cores=cores,
        megabytes=psutil.Process(program.pid).memory_info().rss / 1e6,
    )


def _cost(stand: Stand) -> dict[str, float]:
    """Extend some hundred leases as the bridge does; returns the milliseconds of CPU one costs, by part."""
    settings = load_settings(stand.environment, dotenv=None)
    ledger = Ledger(settings.redis)
    keeper = LeaseKeeper(HttpEngine(Transport(settings.engine)), ledger, [QUEUE], lock_duration=LOCK)
    _extend(keeper, ledger, WARM_UP)
    before, used = stand.cpu(), time.thread_time()
    _extend(keeper, ledger, SAMPLE)
    cost = {part: after - before[part] for part, after in stand.cpu().items()}
    cost["bridge"] = time.thread_time() - used
    return {part: 1000 * seconds / SAMPLE for part, seconds in cost.items() if part != "broker"}


def _extend(keeper: LeaseKeeper, ledger: Ledger, count: int) -> None:
    leases = ledger.claim_due_leases(QUEUE, count)
    threading.Event().wait(1.0)  # until the share of a turn may be taken again
    leases += ledger.claim_due_leases(QUEUE, 0, share=count - len(leases))
    for lease in leases:
        keeper._keep(lease, QUEUE, in_flight=COUNT)


def _rows(steady: Steady, cost: dict[str, float]) -> list[Row]:
    traffic = steady.per_second * sum(cost.values()) / 10
    uneven = max(steady.extensions) / statistics.mean(steady.extensions) if steady.per_second else 0.0
    split = ", ".join(f"{part} {milliseconds:.2f} ms" for part, milliseconds in sorted(cost.items()))
    parts = ", ".join(f"{part} {100 * share:.1f}" for part, share in sorted(steady.cores.items()) if part != "bridge")
    return [
        Row(name="bridge's memory, 10,000 in flight", value=steady.megabytes, unit="MB", floor=MOST_MEGABYTES),
        Row(name="lock traffic, 10,000 in flight", value=traffic, unit="% of a core", floor=MOST_TRAFFIC,
            aim=AIMED_TRAFFIC, note=f"{steady.per_second:.1f} extensions/s, each {split}"),
        Row(name="busiest five seconds ÷ mean", value=uneven, unit="times", floor=MOST_UNEVEN,
            note=" ".join(f"{count:.0f}" for count in steady.extensions)),
        Row(name="bridge at rest, 10,000 in flight", value=100 * steady.cores["bridge"], unit="% of a core",
            note=f"watching included; {parts}"),
    ]  # fmt: skip
