"""What a part of the local stack is, as a value: where it answers, what it needs, how it is started and asked.

`procos.kernel.parts` makes them, the `Keeper` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Name(StrEnum):
    """The parts, in the order in which they are shown and started."""

    ENGINE = "engine"
    BROKER = "broker"
    REDIS = "redis"
    MODEL = "model"
    BRIDGE = "bridge"
    WORKER_AI = "worker-ai"
    WORKER_GENERIC = "worker-generic"
    FLOWER = "flower"


class Probe(Protocol):
    """Asks a part how it is."""

    def check(self) -> str | None:
        """Return why the part is not healthy, or None when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is executed; the environment is whole, nothing else is inherited."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the stack; without `launch` it runs elsewhere and is only asked for its health."""

    name: Name
    address: str
    """Where it answers, without credentials; empty where it does not listen."""
    probe: Probe
    port: int | None = None
    """The port of the loopback interface it listens on, when it is started here."""
    inner_ports: tuple[int, ...] = ()
    """Ports its own children listen on."""
    log: str = ""
    """What its log is called, where not like the part."""
    needs: frozenset[Name] = frozenset()
    build: Command | None = None
    """Runs before the first start; the last line it prints is handed to `launch`."""
    launch: Callable[[str], Command] | None = None
    grace: timedelta = timedelta(seconds=10)
    """How long it may take to stop before it is killed."""
    starting_grace: timedelta = timedelta(seconds=3)
    """The same while it comes up: who is not up yet has nothing to bring to an end, unless it has children."""
    startup_limit: timedelta | None = None
    """How long it may take to come up; None means PROCOS_STARTUP_TIMEOUT."""
    settle: timedelta = timedelta()
    """How long it must have lived to count as up, where its probe alone cannot tell."""
    provides: Mapping[str, str] = field(default_factory=dict)
    """The PROCOS_ names by which every other part finds it, credentials included."""
    is_ours: bool = False
    """Whether its exit code means what ours mean: 2 wrong settings, 3 something cannot be reached."""
    is_external: bool = False
    is_vital: bool = True
    """Whether the stack is of no use without it."""
    set_by: str = ""
    """The setting that names an external part."""
    note: str = ""

    @property
    def log_name(self) -> str:
        """What its log file is called."""
        return self.log or self.name
