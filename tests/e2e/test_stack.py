"""`procos up`, `down` and `status` as a person types them, with a real RabbitMQ and a real Redis."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from procos.kernel.guard import is_gone
from procos.kernel.parts import rabbitmq, redis
from procos.kernel.state import StackFolder, stack_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CURE = "deploy/dev/prerequisites.sh installs it"
COMMAND_LIMIT = 120
PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Stack:
    """One folder with a stack in it, and what a person would type there."""

    directory: Path

    @property
    def folder(self) -> StackFolder:
        return StackFolder(self.directory / ".procos")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "procos", *arguments], cwd=self.directory, env=self.environment(**environ),
            capture_output=True, text=True, timeout=COMMAND_LIMIT, check=False,
        )  # fmt: skip

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, "-m", "procos", *arguments], cwd=self.directory, env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def environment(self, **extra: str) -> dict[str, str]:
        inherited = dict(os.environ)  # the environment of a child
        path = os.pathsep.join(filter(None, [str(PROJECT), inherited.get("PYTHONPATH")]))
        return {**inherited, "PYTHONPATH": path, **extra}

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return document

    def part(self, name: str) -> dict[str, Any]:
        return next(part for part in self.status()["parts"] if part["name"] == name)

    def processes(self) -> list[psutil.Process]:
        """Every process of the stack, the supervisor and its guard included."""
        supervisor = psutil.Process(self.folder.owner_pid())
        return [supervisor, *supervisor.children(recursive=True)]


@pytest.fixture(scope="module", autouse=True)
def servers() -> None:
    missing = [] if rabbitmq.is_installed() else ["RabbitMQ"]
    missing += [] if redis._server() else ["Redis"]
    if missing:
        reason = f"{' and '.join(missing)} missing: {CURE}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)  # set by every CI


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    built = Stack(tmp_path)
    yield built
    built.run("down")


def until(holds: Callable[[], bool], limit: float = 20.0) -> bool:
    deadline, pause = time.monotonic() + limit, threading.Event()
    while not holds() and time.monotonic() < deadline:
        pause.wait(0.1)
    return holds()


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(is_gone(process.pid) for process in processes)


class TestStack:
    def test_comes_up_is_mended_and_leaves_nothing_behind(self, stack: Stack) -> None:
        up = stack.run("up", "--detach", "--only", "broker", "redis")
        assert up.returncode == 0, up.stderr
        assert [line.split()[1] for line in up.stderr.splitlines()[:2]] == ["healthy", "healthy"]
        assert "amqp://127.0.0.1:" in up.stdout

        document = stack.status()
        assert {part["name"]: part["healthy"] for part in document["parts"]} == {"broker": True, "redis": True}
        assert {row["name"] for row in document["queues"]} >= {"ai", "generic", "callbacks"}

        again = stack.run("up")
        assert (again.returncode, "running already" in again.stderr) == (0, True)

        killed = stack.part("redis")["pid"]
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: stack.part("redis")["restarts"] == 1 and stack.part("redis")["healthy"])
        assert stack.part("redis")["pid"] != killed
        assert stack.part("broker")["restarts"] == 0

        processes = stack.processes()
        down = stack.run("down")
        assert (down.returncode, down.stderr.split()[-1]) == (0, "stopped")
        assert all_gone(processes)
        assert stack.run("down").returncode == 0
        assert stack.run("status").returncode == 3

    def test_leaves_no_orphan_when_its_supervisor_is_killed(self, stack: Stack) -> None:
        assert stack.run("up", "--detach", "--only", "broker", "redis").returncode == 0
        processes = stack.processes()
        assert len(processes) >= 5

        processes[0].kill()

        assert until(lambda: all_gone(processes)), [process for process in processes if process.is_running()]
        assert stack.run("status").returncode == 3
        assert stack_environment(stack.folder.root) == {}

    def test_clears_away_what_supervisor_and_guard_left_when_both_were_killed(self, stack: Stack) -> None:
        assert stack.run("up", "--detach", "--only", "redis").returncode == 0
        left = psutil.Process(stack.part("redis")["pid"])
        for process in stack.processes():
            if process != left:
                process.kill()
        assert left.is_running()

        assert stack.run("up", "--detach", "--only", "redis").returncode == 0

        assert is_gone(left.pid)
        assert stack.part("redis")["healthy"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_stops_cleanly_in_the_foreground(self, stack: Stack, number: signal.Signals) -> None:
        with stack.start("up", "--only", "redis", "--json") as foreground:
            assert foreground.stdout is not None
            document = "".join(iter(foreground.stdout.readline, "}\n")) + "}"
            processes = stack.processes()

            foreground.send_signal(number)
            _, progress = foreground.communicate(timeout=30)

        assert foreground.returncode == 0, progress
        assert json.loads(document)["phase"] == "ready"
        assert "stopped" in progress
        assert all_gone(processes)

    def test_takes_another_port_when_the_usual_one_is_taken(self, stack: Stack) -> None:
        with closing(socket.socket()) as listener:
            # Somebody else may have it already, which is as good.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                listener.bind(("127.0.0.1", redis.USUAL_PORT))
                listener.listen()
            up = stack.run("up", "--detach", "--only", "redis")

        assert up.returncode == 0, up.stderr
        assert "port 6379 is taken" in up.stdout
        assert not stack.part("redis")["address"].endswith(":6379/0")

    def test_shows_the_end_of_the_log_of_a_part_that_fails_and_stops_the_rest(self, stack: Stack) -> None:
        stack.folder.create()
        damaged = stack.folder.data("redis") / "appendonlydir"
        damaged.mkdir()
        (damaged / "appendonly.aof.manifest").write_text("no manifest at all\n")

        up = stack.run("up", "--detach", "--only", "broker", "redis")

        assert up.returncode == 1
        assert "procos: redis: ended with code 1" in up.stderr
        assert "AOF manifest" in up.stderr
        assert not stack.folder.is_running()
        state = stack.folder.state()
        assert state is not None
        assert {part.name: part.status for part in state.parts} == {"broker": "stopped", "redis": "failed"}

    def test_uses_what_runs_elsewhere_and_says_so_when_it_does_not(self, stack: Stack) -> None:
        up = stack.run("up", "--detach", "--only", "redis", PROCOS_REDIS_URL="redis://:secret@127.0.0.1:1/0")

        assert up.returncode == 3
        assert "redis://127.0.0.1:1/0 cannot be reached" in up.stderr
        assert "connection refused (PROCOS_REDIS_URL names it" in up.stderr
        assert "secret" not in up.stderr

    def test_two_at_once_bring_up_one(self, stack: Stack) -> None:
        arguments = ("up", "--detach", "--only", "redis")
        with stack.start(*arguments) as first, stack.start(*arguments) as second:
            outputs = [process.communicate(timeout=60) for process in (first, second)]

        assert [first.returncode, second.returncode] == [0, 0], outputs
        assert len([child for child in stack.processes() if "redis-server" in child.name()]) == 1

    def test_lives_side_by_side_with_a_stack_in_another_folder(self, tmp_path: Path) -> None:
        stacks = [Stack(tmp_path / name) for name in ("one", "other")]
        for each in stacks:
            each.directory.mkdir()
        try:
            arguments = ("up", "--detach", "--only", "redis")
            with stacks[0].start(*arguments) as one, stacks[1].start(*arguments) as other:
                starts = (one, other)
                outputs = [start.communicate(timeout=60) for start in starts]

            assert [start.returncode for start in starts] == [0, 0], outputs
            assert len({each.part("redis")["address"] for each in stacks}) == 2
        finally:
            downs = [each.run("down").returncode for each in stacks]
        assert downs == [0, 0]
