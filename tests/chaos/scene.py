"""What a fault may touch, and the waits several faults share."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos import effects
from tests.chaos.stack import BRIDGE
from tests.services import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.chaos.program import Program
    from tests.chaos.stack import Stack

OUTAGE_SECONDS = 20.0
"""Longer than a lock of the suite, 15 s."""
MOMENT_SECONDS = 20.0
"""Within which the awaited message must come along; else the fault did not happen, and the case fails."""
GOODBYE_SECONDS = 40.0
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a fault may touch; it tells what it does, and what it measured in seconds."""

    stack: Stack
    rng: random.Random
    effects_file: Path
    say: Callable[[str], None]
    measured: Callable[[str, float], None]


def nothing(_: Scene) -> None:
    """Let nothing happen."""


def await_work(scene: Scene, worker: Program) -> int:
    """Wait until a step runs in a process of this worker, and return the process.

    Raises:
        TimeoutError: none did.
    """
    deadline = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < deadline:
        for pid in effects.under_way(effects.read(scene.effects_file)):
            if _group_of(pid) == worker.pid:
                return pid
        pause(LOOK_SECONDS)
    raise TimeoutError(f"worker {worker.name} was not at work within {MOMENT_SECONDS:g} s")


def restart_bridge(scene: Scene, environment: Mapping[str, str] | None = None, *, group: bool = False) -> None:
    """Ask the bridge to end, and start it again."""
    leave(scene.stack.programs[BRIDGE], group=group)
    scene.stack.start(BRIDGE, environment)
    scene.stack.await_consumers()


def leave(program: Program, *, group: bool = False) -> None:
    """Ask a program to end, and wait until it has."""
    program.terminate(group=group)
    program.wait(GOODBYE_SECONDS)


def must_have_happened(times: int, what: str) -> None:
    """Make sure that a fault that strikes by chance did strike.

    Raises:
        RuntimeError: it did not.
    """
    if not times:
        raise RuntimeError(f"{what}: the fault did not happen")


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
