"""A boot without its surroundings: an announcer that remembers, and an engine that says what it is told to say."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from procos.kernel.boot.course import Course
from procos.kernel.boot.metrics import KernelMetrics
from procos.shipped import SHUTDOWN

if TYPE_CHECKING:
    from procos.kernel.boot.phases import BootPhase, PhaseDone


@dataclass
class Ears:
    """Remembers all that was announced."""

    done: list[PhaseDone] = field(default_factory=list)
    waited_for: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    listened: int = 0

    def listens(self) -> None:
        self.listened += 1

    def over(self, done: PhaseDone) -> None:
        self.done.append(done)

    def waits(self, _phase: BootPhase, trouble: str) -> None:
        self.waited_for.append(trouble)

    def watches(self, text: str) -> None:
        self.events.append(text)

    def happened(self, text: str, details: str = "") -> None:
        self.events.append(text + details)


@dataclass
class FakeProcesses:
    """Instances of one process at an engine, oldest first."""

    instances: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    farewells: list[str] = field(default_factory=list)

    def running(self, key: str) -> list[str]:
        return list(self.farewells if key == SHUTDOWN else self.instances)

    def start(self, _key: str, variables: dict[str, Any]) -> str:
        self.started.append(variables)
        self.instances.append(f"new-{len(self.started)}")
        return self.instances[-1]

    def cancel(self, instance: str) -> bool:
        self.cancelled.append(instance)
        (self.farewells if instance in self.farewells else self.instances).remove(instance)
        return True


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def metrics() -> KernelMetrics:
    return KernelMetrics()


@dataclass
class Seconds:
    """A monotonic clock that stands still until it is moved on."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def course(ears: Any, metrics: KernelMetrics, clock: Seconds) -> Course:
    return Course(ears, metrics, clock=clock)


@pytest.fixture
def engine() -> FakeProcesses:
    return FakeProcesses()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
