"""`procos kernel` in a process of its own, for tests: what it says, how it is, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import requests

from procos.kernel.state import KERNEL, StackFolder
from tests.local_stack import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from procos.kernel.stack import PartState

BOOT_SECONDS = 90.0
STOP_SECONDS = 60.0


@dataclass
class KernelProcess:
    """A kernel that was started, its words in a file."""

    process: subprocess.Popen[bytes]
    folder: Path
    words: Path
    health: str

    @property
    def said(self) -> str:
        return self.words.read_text("utf-8")

    @property
    def engine(self) -> PartState:
        state = StackFolder(self.folder, owner=KERNEL).state()
        assert state is not None
        return state.parts[0]

    @property
    def rest(self) -> str:
        return self.engine.address

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.health}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def await_ready(self) -> None:
        until(lambda: self.is_ready() or self.process.poll() is not None, BOOT_SECONDS, "the kernel is ready")
        assert self.process.poll() is None, self.said

    def await_words(self, *words: str, seconds: float = BOOT_SECONDS) -> None:
        until(lambda: all(each in self.said for each in words), seconds, f"{words} in: {self.said}")

    def await_end(self, seconds: float = STOP_SECONDS) -> int:
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.await_end()

    def running(self, key: str) -> list[str]:
        question = {"processDefinitionKey": key, "unfinished": "true"}
        rows = requests.get(f"{self.rest}/history/process-instance", params=question, timeout=20).json()
        return [row["id"] for row in rows]

    def left(self) -> list[psutil.Process]:
        """Return the processes that were started for it and live; they inherit where its state is."""
        return [each for each in psutil.process_iter(["environ", "cmdline"]) if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        marks = (process.info["environ"] or {}).values(), process.info["cmdline"] or []
        return any(str(self.folder) in mark for mark in (*marks[0], *marks[1]))


@contextmanager
def running_kernel(
    folder: Path, settings: Mapping[str, str], *, engine_port: int, health_port: int, prefix: Sequence[str] = (),
    leaves_nothing: bool = True,
) -> Iterator[KernelProcess]:  # fmt: skip
    """Run a kernel for the length of the block; nothing of it is left afterwards, unless another one has its folder."""
    environment = {
        **clean_environment(),
        "PROCOS_STATE_DIRECTORY": str(folder),
        "PROCOS_ENGINE_PORT": str(engine_port),
        "PROCOS_KERNEL_HEALTH_PORT": str(health_port),
        **settings,
    }
    folder.mkdir(exist_ok=True)
    words = folder / f"words-{time.monotonic_ns()}"
    with words.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "procos", "kernel"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    kernel = KernelProcess(process, folder, words, f"http://127.0.0.1:{health_port}")
    try:
        yield kernel
    finally:
        if process.poll() is None:
            kernel.stop()
        if leaves_nothing:
            until(lambda: not kernel.left(), STOP_SECONDS, f"all of it is gone: {kernel.left()}")


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        pause.wait(0.1)


def kill(pid: int | None, number: int = signal.SIGKILL) -> None:
    assert pid is not None
    os.kill(pid, number)
