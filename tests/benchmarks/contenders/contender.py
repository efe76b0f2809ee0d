"""What a contender is: a name, and the programs it runs for a given piece of work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.contenders.tools import Tools
    from tests.benchmarks.processes import Launch

CLIENT = "client"
"""The part every process of a foreign client counts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a contender is started for."""

    topic: str
    seconds: float = 0.0
    """How long each task takes."""
    slots: int = 16
    """Tasks that may be worked on at once, where the contender can be told."""
    runs: Path | None = None
    """A file that gets a line for each task begun."""
    one_each: bool = False
    """Whether a client that works on its batch one by one fetches one task at a time."""
    profile: Path | None = None
    """A folder for what `profiled.py` writes, if ProcOS is to run under it."""
    lock_seconds: int | None = None
    """How long tasks are locked; None means as the contender is tuned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a contender runs: the engine's REST root, and the PROCOS_ names of all services."""

    rest: str
    environment: Mapping[str, str]
    tools: Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the tables."""

    name: str
    label: str
    launches: Callable[[Place, Work], Sequence[Launch]]
    prepare: Callable[[Tools], object] = lambda _: None
    """Builds or installs it; raises MissingError where that cannot be done."""
