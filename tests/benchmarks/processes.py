"""The programs of a contender, each in a process group of its own, stopped by their ids alone.

`cpu_seconds` is what a tree of processes has used since it began, with those of its children that have ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STOP_SECONDS, KILL_SECONDS = 20.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is executed, and for which part of the contender its CPU time counts."""

    part: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    fetches: bool = True
    """Whether this is what asks the engine for work."""


class Program:
    """A running program, and the group it leads."""

    def __init__(self, launch: Launch, log: Path) -> None:
        self.launch, self._log = launch, log
        with log.open("ab") as words:
            self._process = subprocess.Popen(
                launch.arguments,
                env=dict(launch.environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._process.pid

    def require_alive(self) -> None:
        """Go on if it runs.

        Raises:
            RuntimeError: it has ended, with its last words.
        """
        if self._process.poll() is not None:
            words = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.launch.part} ended with {self._process.returncode}: {words}")

    def hold(self) -> None:
        """Stop the group from running while its connections stay open."""
        os.killpg(self.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Let the group go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Make sure that it and its group are gone, gently at first."""
        with suppress(ProcessLookupError):
            self.release()
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(KILL_SECONDS)


def cpu_seconds(roots: Iterable[int]) -> float:
    """Add up user and system time of these processes and all that they started."""
    return sum(_seconds(process) for root in roots for process in _tree(root))


def listener(port: int) -> int:
    """Return the process that listens on a port of the loopback interface.

    Raises:
        RuntimeError: nobody does.
    """
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return connection.pid
    raise RuntimeError(f"nobody listens on port {port}")


def _tree(root: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0
