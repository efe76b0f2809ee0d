"""The bridge and the workers as plain processes, each in a process group of its own, stopped by their ids alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local_stack import ROOT
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_SECONDS = 40.0
KILL_SECONDS = 10.0
ORPHAN_SECONDS, LOOK_SECONDS = 5.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramPlan:
    """What is executed, with a whole environment, and where its words go."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    prefix: tuple[str, ...] = ()
    """A command that runs it elsewhere, as the same process."""

    def start(self) -> Program:
        """Start it."""
        with self.log.open("ab") as words:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", *self.arguments],
                env=dict(self.environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        return Program(self.name, process)


class Program:
    """A process of ours, and the group it leads."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name, self._process = name, process

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, and it alone; returns before it is gone."""
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self, *, group: bool = False) -> None:
        """Ask the process to end, or every process of its group."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGTERM)

    def freeze(self, *, frozen: bool = True) -> None:
        """Stop the group from running while its connections stay open, or let it go on."""
        os.killpg(self.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def wait(self, seconds: float = KILL_SECONDS) -> None:
        """Wait until the process has ended.

        Raises:
            TimeoutError: it has not.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} (pid {self.pid}) has not ended within {seconds:g} s") from None

    def end(self) -> str:
        """Make sure that it and its group are gone, gently at first; returns what did not go by itself."""
        left = ""
        if self.lives:
            self.terminate()
            try:
                self.wait(STOP_SECONDS)
            except TimeoutError as error:
                left = str(error)
        left = left or self._orphans()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        return left

    def _orphans(self) -> str:
        """Say that children outlive the process, after a moment for them to notice."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while time.monotonic() < deadline:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return ""
            pause(LOOK_SECONDS)
        return f"processes of {self.name} (pid {self.pid}) outlive it"
