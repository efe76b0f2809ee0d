"""Real services for tests: the very parts the local stack is made of, each on ports and in a folder of its own.

A service that cannot be had skips its tests on a laptop, naming what to install, and fails them in CI.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import pytest

from procos.kernel.parts import rabbitmq
from procos.kernel.parts.engine import missing_for_engine
from procos.kernel.parts.redis import missing_for_redis
from tests.availability import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from procos.kernel.part import Command, Part
    from procos.settings import Settings

START_SECONDS = 90.0
STOP_SECONDS = 30.0
BUILD_SECONDS = 1800.0
LINGER_SECONDS = 1.0
PAUSE_SECONDS = 0.05
RABBITMQ_CURE = "RabbitMQ is not installed: apt-get install rabbitmq-server"


class Service:
    """One part, as a process that a test may stop, kill and start again; ports and data stay."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part, self._log = part, log
        self._process: subprocess.Popen[bytes] | None = None
        self._built = _build(part.build) if part.build else ""

    @property
    def environment(self) -> Mapping[str, str]:
        """The PROCOS_ names by which it is found."""
        return self.part.provides

    def start(self) -> Self:
        """Start it, and wait until it is healthy."""
        assert self.part.launch is not None
        command = self.part.launch(self._built)
        with self._log.open("ab") as words:
            self._process = subprocess.Popen(
                command.arguments,
                env=dict(command.environment),
                cwd=command.directory,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        wait_until(self._is_up, START_SECONDS, what=f"{self.part.name} is healthy; its log is {self._log}")
        return self

    def stop(self) -> None:
        """Ask it to end, and make sure that it did."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and its group at once."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            _await_end_of_group(self._process.pid)
            self._process = None

    def freeze(self, *, frozen: bool = True) -> None:
        """Stop it from running while its connections stay open, or let it go on."""
        assert self._process is not None
        signal_group(self._process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"{self.part.name} ended: {self._log.read_text(errors='replace')[-2000:]}")
        return self.part.probe.check() is None


def require_engine(settings: Settings) -> None:
    """Skip, or fail in CI, where no engine can be started."""
    for reason in missing_for_engine(settings):
        require(reason)


def require_rabbitmq() -> None:
    """Skip, or fail in CI, where no RabbitMQ can be started."""
    if not rabbitmq.is_installed():
        require(RABBITMQ_CURE)


def require_redis() -> None:
    """Skip, or fail in CI, where no Redis can be started."""
    for reason in missing_for_redis():
        require(reason)


def wait_until(condition: object, seconds: float, *, what: str) -> None:
    """Wait for something another process does; never longer than `seconds`."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain until {what}")
        pause(PAUSE_SECONDS)


def pause(seconds: float) -> None:
    """Let real time pass."""
    threading.Event().wait(seconds)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process of ours and its children."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _await_end_of_group(pid: int) -> None:
    """Give what was killed a moment to leave its ports; a zombie that nobody collects has left them."""
    deadline = time.monotonic() + LINGER_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        pause(PAUSE_SECONDS)


def _build(command: Command) -> str:
    built = subprocess.run(
        command.arguments,
        env=dict(command.environment),
        cwd=command.directory,
        capture_output=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if built.returncode != 0:
        require(f"the engine cannot be built: {built.stderr.decode()[-500:]}")
    return built.stdout.decode().strip().rpartition("\n")[2]
