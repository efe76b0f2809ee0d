"""Two bridges beside one, each with a quarter of a core, against an engine that is never the bottleneck.

RabbitMQ, Redis and the worker are real and not limited. Rounds with one bridge and with two take turns, so that what
else the machine does falls on both.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from procos.kernel.parts.broker import broker_part
from procos.kernel.parts.redis import redis_part
from procos.kernel.state import StackFolder
from tests.benchmarks.load import pause
from tests.benchmarks.processes import Launch, Program, cpu_seconds
from tests.benchmarks.scale.programs import READY_SECONDS, TOPIC, await_true, bridge, metric, worker
from tests.benchmarks.scale.rows import Row
from tests.benchmarks.scale.throttle import throttled
from tests.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.scale.programs import Ground

PART = 0.25
ROUNDS = (1, 2, 2, 1)
SETTLE_SECONDS, MEASURED_SECONDS = 8.0, 15.0
FLOOR = 1.7
LEEWAY = 1.1
"""A round in which a bridge gets more than this part of its limit is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What so many bridges did together."""

    rate: float
    cores: float
    """What each bridge used of a core, on average."""
    limited_by: str


class Stage:
    """Stub, RabbitMQ, Redis and a worker, and bridges as they are asked for."""

    def __init__(self, ground: Ground) -> None:
        self._folder, self._ports, self._tools = ground.folder, ground.ports, ground.tools
        self._services: dict[str, str] = {}
        self._stats = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all but the bridges for the length of the block."""
        stack = StackFolder(self._folder / "replicas")
        stack.create()
        with ExitStack() as running:
            for name, part in (
                ("redis", redis_part(folder=stack, ports=self._ports)),
                ("broker", broker_part(folder=stack, ports=self._ports, redis_here=None)),
            ):
                service = Service(part, stack.log(name))
                running.callback(service.stop)
                self._services.update(service.start().environment)
            rest = self._stub(running)
            self._services["PROCOS_ENGINE_URL"], self._stats = rest, f"{rest}/stats"
            running.callback(Program(worker(self._services), self._folder / "worker.log").end)
            yield

    def round(self, bridges: int) -> Round:
        """Let so many bridges work for a while, and count what was completed."""
        with ExitStack() as running:
            programs = [self._bridge(running, number) for number in range(bridges)]
            limited_by = [running.enter_context(throttled(program.pid, PART)) for program in programs]
            pause(SETTLE_SECONDS)
            done, used = self.stats()["completed"], cpu_seconds(program.pid for program in programs)
            pause(MEASURED_SECONDS)
            done, used = self.stats()["completed"] - done, cpu_seconds(p.pid for p in programs) - used
        found = Round(rate=done / MEASURED_SECONDS, cores=used / bridges / MEASURED_SECONDS, limited_by=limited_by[0])
        if found.cores > LEEWAY * PART:
            raise RuntimeError(f"a bridge used {found.cores:.2f} of a core, though limited to {PART} ({limited_by[0]})")
        return found

    def stats(self) -> Mapping[str, int]:
        """Ask the stub what it has given out and got back."""
        return dict(requests.get(self._stats, timeout=10).json())

    def _bridge(self, running: ExitStack, number: int) -> Program:
        port = self._ports.choose()
        program = Program(bridge(self._services, f"scale-{number}", port), self._folder / f"bridge-{number}.log")
        running.callback(program.end)

        def has_reported() -> bool:
            program.require_alive()
            return metric(port, "procos_bridge_settled_total") > 0

        await_true(has_reported, seconds=READY_SECONDS, what=f"a first step of bridge {number}")
        return program

    def _stub(self, running: ExitStack) -> str:
        port = self._ports.choose()
        arguments = (str(self._tools.stub()), "-listen", f"127.0.0.1:{port}", "-topic", TOPIC)
        program = Program(Launch(part="stub", arguments=arguments, environment={}), self._folder / "stub.log")
        running.callback(program.end)
        rest = f"http://127.0.0.1:{port}/engine-rest"
        await_true(lambda: requests.get(f"{rest}/version", timeout=5).ok, seconds=READY_SECONDS, what="the stub")
        return rest


def measure(ground: Ground) -> list[Row]:
    """Return what two bridges do beside one."""
    stage = Stage(ground)
    found: dict[int, list[Round]] = {1: [], 2: []}
    with stage.running():
        for bridges in ROUNDS:
            found[bridges].append(stage.round(bridges))
        again = stage.stats()["again"]
    rates = {bridges: statistics.median(each.rate for each in rounds) for bridges, rounds in found.items()}
    spread = "; ".join(
        f"{bridges}: " + " ".join(f"{each.rate:.0f}/s at {each.cores:.2f} of a core" for each in rounds)
        for bridges, rounds in found.items()
    )
    how = found[1][0].limited_by
    return [
        Row(name="two bridges ÷ one, a quarter of a core each", value=rates[2] / rates[1], unit="times", floor=FLOOR,
            is_more_better=True, note=f"{how}; {spread}"),
        Row(name="one bridge, a quarter of a core", value=rates[1], unit="tasks/s"),
        Row(name="two bridges, a quarter of a core each", value=rates[2], unit="tasks/s"),
        Row(name="completions told twice", value=again, unit="", note="harmless: the engine refuses the second"),
    ]  # fmt: skip
