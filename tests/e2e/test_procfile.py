"""The Procfile runs as it stands, on nothing but the addresses of engine, broker and Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PASSWORD = "a password for Flower"
PARTS = ("kernel", "bridge", "ai", "generic", "flower")


@pytest.fixture(scope="module")
def services(stack_factory: Callable[..., Any]) -> Any:
    return stack_factory("engine", "broker", "redis")


@pytest.fixture(scope="module")
def honcho(
    services: Any, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **services.environment,
        **services.settings,
        "PROCOS_FLOWER_PORT": str(free_port),
        "PROCOS_FLOWER_PASSWORD": PASSWORD,
    }
    environment.pop("PROCOS_STATE_DIRECTORY")
    log = tmp_path_factory.mktemp("honcho") / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "honcho", "-f", str(ROOT / "Procfile"), "start", *PARTS]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGTERM)
            process.wait(30)
            _, left = psutil.wait_procs(children, timeout=5)
    assert not left, log.read_text()


class TestProcfile:
    def test_runs_every_part_and_carries_a_step_on_each_queue(
        self, services: Any, honcho: subprocess.Popen[bytes], eventually: Callable[..., None]
    ) -> None:
        ids = [services.start("sample_noop"), services.start("sample_sleep", seconds={"type": "Double", "value": 0.1})]
        eventually(lambda: services.finished(ids) == 2, seconds=60, what="a step on each queue")
        assert honcho.poll() is None
