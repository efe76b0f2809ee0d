"""The programs of these measurements: bridges and a worker, as users run them, and the engine that is only a stub."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from tests.benchmarks.contenders import tools
from tests.benchmarks.load import pause
from tests.benchmarks.processes import Launch
from tests.local_stack import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.chaos.services import AnyPorts

TOPIC, QUEUE = "bench", "ai"
READY_SECONDS = 60.0
LOOK_SECONDS = 0.2
THREADS = 16
HERE = ROOT / "tests" / "benchmarks" / "scale"
MODEL = HERE / "bench.bpmn"
AT_ONCE = 1_000
"""External tasks that one instance of the model makes."""
FILL_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every measurement is given: a folder of its own, free ports, built programs, and perhaps an engine."""

    folder: Path
    ports: AnyPorts
    tools: ScaleTools
    engine_jar: Path | None = None


class ScaleTools(tools.Tools):
    """Those of the benchmark, and the stub."""

    def stub(self) -> Path:
        """Return the engine that is only a stub."""
        source = HERE / "engine_stub.go"
        go = tools._program("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go", cure="apt-get install golang-go")

        def build(home: Path) -> None:
            settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
            tools._run(go, "build", "-o", str(home / "stub"), str(source), cwd=home, **settings)

        return self._made("stub", [source], build) / "stub"


def deploy(rest: str) -> None:
    """Deploy the model, one instance of which makes many external tasks at once."""
    files = {MODEL.name: (MODEL.name, MODEL.read_bytes(), "application/xml")}
    requests.post(f"{rest}/deployment/create", files=files, timeout=FILL_SECONDS).raise_for_status()


def fill(rest: str, count: int) -> None:
    """Let so many more external tasks wait in the engine."""
    for _ in range(count // AT_ONCE):
        url = f"{rest}/process-definition/key/{TOPIC}/start"
        requests.post(url, json={}, timeout=FILL_SECONDS).raise_for_status()


def bridge(services: Mapping[str, str], name: str, port: int, **settings: str) -> Launch:
    """Return what launches a bridge that serves the topic of the benchmark."""
    mine = {"PROCOS_BRIDGE_REPLICA_ID": name, "PROCOS_BRIDGE_HEALTH_PORT": str(port), **settings}
    return Launch(
        part="bridge", arguments=(sys.executable, "-m", "procos", "bridge"), environment={**_common(services), **mine}
    )


def worker(services: Mapping[str, str]) -> Launch:
    """Return what launches a worker for it."""
    command = ("-m", "celery", "-A", "procos.app", "worker", "-Q", QUEUE, "-c", str(THREADS))
    environment = {**_common(services), "PROCOS_WORKER_EVENTS": "false"}
    return Launch(part="worker", arguments=(sys.executable, *command), environment=environment)


def metric(port: int, name: str) -> float:
    """Add up every series of a metric of the bridge that serves this port."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def await_true(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it has not come.
    """
    for _ in range(round(seconds / LOOK_SECONDS)):
        try:
            if condition():
                return
        except requests.ConnectionError:
            pass  # it does not listen yet
        pause(LOOK_SECONDS)
    raise TimeoutError(f"not within {seconds:g} s: {what}")


def _common(services: Mapping[str, str]) -> dict[str, str]:
    return {
        **clean_environment(),
        **services,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tools.HERE)]),
        "PROCOS_BRIDGE_UNKNOWN_TOPICS": "leave",
        "PROCOS_LOG_LEVEL": "WARNING",
        "BENCH_TOPIC": TOPIC,
        "BENCH_QUEUE": QUEUE,
    }
