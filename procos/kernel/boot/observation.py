"""What others see of the kernel: `/livez`, `/readyz` and `/metrics` over HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from procos.health_server import Answers, HealthServer
from procos.kernel.boot.phases import BootPhase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from procos.kernel.boot.course import Course
    from procos.kernel.boot.metrics import KernelMetrics
    from procos.kernel.boot.orchestrator import Orchestrator
    from procos.kernel.boot.ward import Ward
    from procos.settings import Settings

PREFIX = "PROCOS_KERNEL_HEALTH_"
OK = "ok"
LONGEST_TURN_SECONDS = 120.0
"""Beyond a pause, no turn of the monitor takes as long: each of its calls has a limit of seconds."""


@contextmanager
def observed(
    settings: Settings, course: Course, ward: Ward, orchestrator: Orchestrator, metrics: KernelMetrics
) -> Iterator[None]:
    """Serve the pages for the length of the block, unless the port is 0.

    Raises:
        SettingsError: the port is taken. Where nobody asked for a certain port, another one serves.
    """
    kernel = settings.kernel
    if not kernel.health_port:
        yield
        return
    longest = LONGEST_TURN_SECONDS + settings.health_check_interval
    server = HealthServer(
        Answers(
            late=lambda: late(course, longest=longest),
            findings=lambda: findings(course, ward, orchestrator),
            metrics=metrics.exposition,
        ),
        address=kernel.health_address,
        port=kernel.health_port,
        prefix=PREFIX,
        may_move=not settings.is_set(f"{PREFIX}PORT"),
    )
    server.start()
    try:
        yield
    finally:
        server.stop()


def late(course: Course, *, longest: float) -> Mapping[str, str]:
    """Return since when the monitor hangs, if it does; a boot may take its time."""
    silent = course.clock() - course.last_turn
    if course.phase is not BootPhase.MONITORING or course.is_stopping or silent < longest:
        return {}
    return {"monitor": f"{silent:.0f} s"}


def findings(course: Course, ward: Ward, orchestrator: Orchestrator) -> Mapping[str, str]:
    """Return `ok` or the trouble of the boot, of the engine and of the orchestrator."""
    phase, engine = course.phase, ward.engine
    if course.is_stopping:
        return {"boot": "stopping"}
    if phase is not BootPhase.MONITORING:
        return {"boot": f"phase {phase.number} of {len(BootPhase)}: {phase.purpose}"}
    return {
        "boot": OK,
        "engine": OK if engine.is_healthy else f"{engine.status}: {engine.reason}",
        "orchestrator": OK if orchestrator.instance else "none runs",
    }
