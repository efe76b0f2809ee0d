"""The one instance of `procos_system_orchestrator`, whatever restarts and however many kernels there are.

The engine's own list of running instances is the truth. A turn in Redis keeps two kernels from starting one at the same
time; should there be two all the same, after a partition say, the older one stays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from procos import __version__
from procos.shipped import ORCHESTRATOR, SHUTDOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ProcessInstanceId
    from procos.engine.processes import Processes

SYSTEM_MODE = "normal"


class Orchestrator:
    """Sees to it that there is one; `has_turn` says whether this kernel may act."""

    def __init__(self, processes: Processes, *, has_turn: Callable[[], bool]) -> None:
        self._processes = processes
        self._has_turn = has_turn
        self.instance: ProcessInstanceId | None = None

    def ensure(self) -> str:
        """Start it if none runs, and end any second one; returns in words what was found or done."""
        running = self._processes.running(ORCHESTRATOR)
        if running:
            self.instance = running[0]
            surplus = running[1:] if self._has_turn() else ()
            for instance in surplus:
                self._processes.cancel(instance)
            return f"instance {running[0]} runs already" + (f", {len(surplus)} more were ended" if surplus else "")
        self.instance = None
        if not self._has_turn():
            return "another kernel starts it"
        for farewell in self._processes.running(SHUTDOWN):
            # Left behind by a system that was killed in its farewell: it would end the one that begins now.
            self._processes.cancel(farewell)
        self.instance = self._processes.start(ORCHESTRATOR, _variables())
        return f"instance {self.instance}"


def _variables() -> dict[str, object]:
    return {
        "system_mode": SYSTEM_MODE,
        "kernel_version": __version__,
        "startup_time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
