"""Two bridges beside one engine: one may come, stop or die under load, and the others go on with what it had."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bridge.fetched import dispatch_of
from bridge.ledger import Ledger
from bridge.parked_poll import STOP_TOPIC
from bridge.registry import Registry
from procos.domain.external_task import Topic
from procos.engine.http import HttpEngine
from procos.engine.subscription import Subscription
from procos.engine.transport import Transport
from procos.routes import Route
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from procos.domain.external_task import ExternalTask

TAKEN_OVER_WITHIN = 15.0
LOCK = timedelta(seconds=20)
"""As the stack of these tests is set: longer than a takeover may last, so that it is no lock that frees a step."""
LOAD, EVERY = 150, 0.04
NOOP = Route(task_name="sample.sample_noop", queue="generic", module="sample_tasks.tasks")


class Bench:
    """The stack's services, as a bridge uses them."""

    def __init__(self, stack: Any) -> None:
        settings = load_settings({**stack.settings}, dotenv=None)
        self.engine, self.ledger = HttpEngine(Transport(settings.engine)), Ledger(settings.redis)
        self.replicas = Registry(settings.redis).replicas

    def fetch(self, holder: str, count: int) -> list[ExternalTask]:
        """Fetch under the worker id of a bridge."""
        wanted = Subscription(topic=Topic("sample_noop"), lock_duration=LOCK, variables=())
        return list(self.engine.fetch_and_lock(holder, [wanted], max_tasks=count, wait=timedelta(0)))

    def end_poll(self, holder: str) -> None:
        """End the poll that a bridge has parked, so that what arrives goes to nobody."""
        nothing = Subscription(topic=STOP_TOPIC, lock_duration=LOCK, variables=())
        self.engine.fetch_and_lock(holder, [nothing], max_tasks=1, wait=timedelta(milliseconds=1))


class Second:
    """A bridge beside the stack's own."""

    def __init__(self, stack: Any, name: str, log: Path, port: int) -> None:
        self.name, self._log, self._port = name, log, port
        environment = {
            **stack.environment, **stack.settings,
            "PROCOS_BRIDGE_REPLICA_ID": name, "PROCOS_BRIDGE_HEALTH_PORT": str(port),
        }  # fmt: skip
        with log.open("wb") as file:
            command = [sys.executable, "-m", "procos", "bridge"]
            self.process = subprocess.Popen(command, env=environment, stderr=file, start_new_session=True)

    def is_ready(self) -> bool:
        return "bridge.ready" in self._log.read_text()

    def metric(self, name: str) -> float:
        """Add up every series of a metric."""
        text = requests.get(f"http://127.0.0.1:{self._port}/metrics", timeout=5).text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def second(
    stack: Any, tmp_path: Path, free_port: int, eventually: Callable[..., None], request: pytest.FixtureRequest
) -> Iterator[Second]:
    bridge = Second(stack, f"replica-{request.node.name[:20]}", tmp_path / "second.log", free_port)
    try:
        eventually(bridge.is_ready, seconds=30, what="the second bridge is ready")
        yield bridge
    finally:
        bridge.end()


@contextmanager
def held(*pids: int) -> Iterator[None]:
    """Keep processes from running."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def effects_of(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith("effect")] if file.exists() else []


def start_sleep(stack: Any, seconds: float, effects: Path) -> str:
    where = {"type": "String", "value": str(effects)}
    return str(stack.start("sample_sleep", seconds={"type": "Double", "value": seconds}, effects_file=where))


class TestABridgeThatDies:
    def test_leaves_nothing_that_another_has_not_taken_over_within_15_seconds(
        self, stack: Any, second: Second, tmp_path: Path, eventually: Callable[..., None]
    ) -> None:
        bench, effects = Bench(stack), tmp_path / "effects"
        doomed, first = f"{second.name}/generic", stack.pid("bridge")
        ids = [start_sleep(stack, 3.0, effects) for _ in range(8)]
        eventually(lambda: effects.exists() and effects.read_text().count("start") == 8, seconds=20, what="a start")
        with held(first):
            os.kill(second.process.pid, signal.SIGSTOP)
            for replica in bench.replicas():
                bench.end_poll(f"{replica}/generic")
            ids += [stack.start("sample_noop") for _ in range(6)]
            lost, reserved = bench.fetch(doomed, 3), bench.fetch(doomed, 3)
            assert (len(lost), len(reserved)) == (3, 3)
            bench.ledger.reserve([dispatch_of(task, NOOP).ref for task in reserved], "generic", LOCK)
            second.process.kill()
            killed = time.monotonic()
        ids += [stack.start("sample_noop") for _ in range(6)]
        left = TAKEN_OVER_WITHIN - (time.monotonic() - killed)
        eventually(lambda: stack.finished(ids) == len(ids), seconds=left, what="everything taken over")
        assert len(effects_of(effects)) == 8


class TestABridgeThatComesAndGoes:
    def test_shares_the_work_and_is_noticed_by_the_metrics_alone(
        self, stack: Any, second: Second, tmp_path: Path, eventually: Callable[..., None]
    ) -> None:
        bench, effects, ids = Bench(stack), tmp_path / "effects", list[str]()

        def start_all() -> None:
            for _ in range(LOAD):
                ids.append(start_sleep(stack, 0.05, effects))
                time.sleep(EVERY)

        load = threading.Thread(target=start_all, daemon=True)
        load.start()
        eventually(lambda: second.metric("procos_bridge_replicas") == 2, seconds=10, what="two bridges counted")
        eventually(
            lambda: second.metric("procos_bridge_settled_total") >= 5, seconds=20, what="the second has reported"
        )
        assert second.metric("procos_bridge_fetched_total") > 0
        assert load.is_alive()
        second.process.terminate()
        assert second.process.wait(30) == 0
        load.join(60)
        eventually(lambda: stack.finished(ids) == LOAD, seconds=30, what="every instance has ended")
        done = effects_of(effects)
        assert (len(done), len(set(done))) == (LOAD, LOAD)
        assert second.name not in bench.replicas()
        assert not [instance for instance in ids if stack.incidents(instance)]
