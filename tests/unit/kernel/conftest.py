"""Fakes of what the kernel is made of: parts, probes, and processes that end when the test says so."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from procos.kernel.part import Command, Name, Part
from procos.kernel.state import StackFolder
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from procos.settings import Settings


@dataclass
class ScriptedProbe:
    """Gives one answer after the other, and the last one for ever."""

    answers: deque[str | None] = field(default_factory=lambda: deque([None]))

    def check(self) -> str | None:
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]


@dataclass
class FakeProcess:
    """Runs until it is told to end, or has ended already when it has a code from the start."""

    code: int | None = None
    obeys: bool = True
    on_wait: Callable[[], None] = lambda: None
    port: int | None = None
    pid: int = 4711
    created: float = 1000.0
    signals: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        return self.code

    def wait(self, limit: float | None = None) -> int | None:
        self.on_wait()
        if self.code is None and limit is None:
            self.ended.wait(4)
        return self.code

    def listens_on(self, port: int) -> bool:
        return port == self.port

    def terminate(self) -> None:
        self.signals.append("TERM")
        if self.obeys:
            self.end(-15)

    def kill(self) -> None:
        self.signals.append("KILL")
        self.end(-9)

    def end(self, code: int) -> None:
        self.code = code if self.code is None else self.code
        self.ended.set()


@dataclass
class FakeSpawner:
    """Hands out the processes it was given, and what they print."""

    processes: deque[FakeProcess]
    printed: bytes = b""
    commands: list[Command] = field(default_factory=list)

    def spawn(self, command: Command, *, log: Path, output: IO[bytes] | None = None) -> FakeProcess:
        self.commands.append(command)
        with log.open("ab") as words:
            words.write(b"words of the part\n")
        if output is not None:
            output.write(self.printed)
        return self.processes.popleft()


class Fakes:
    """What the tests of the kernel build their scenes from."""

    Process = FakeProcess

    @staticmethod
    def probe(*answers: str | None) -> ScriptedProbe:
        return ScriptedProbe(deque(answers or (None,)))

    @staticmethod
    def spawner(*processes: FakeProcess, printed: bytes = b"") -> FakeSpawner:
        return FakeSpawner(deque(processes), printed=printed)

    @staticmethod
    def command(*arguments: str) -> Command:
        return Command(arguments=arguments or ("part",), environment={}, directory=Path("/"))

    @classmethod
    def part(cls, name: Name = Name.REDIS, *, needs: Iterable[Name] = (), **changes: Any) -> Part:
        part = Part(
            name=name,
            address=f"test://{name}",
            probe=cls.probe(),
            launch=lambda built: cls.command(name, built),
            needs=frozenset(needs),
        )
        return replace(part, **changes)


@pytest.fixture
def fakes() -> type[Fakes]:
    return Fakes


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    stack = StackFolder(tmp_path / "state")
    stack.create()
    return stack


@pytest.fixture
def settings() -> Callable[..., Settings]:
    return lambda **environ: load_settings(environ, dotenv=None)
