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
    from procos.kernel.boot.ward import Ward
    from procos.settings import Settings

PREFIX = "PROCOS_KERNEL_HEALTH_"
OK = "ok"


@contextmanager
def observed(settings: Settings, course: Course, ward: Ward, metrics: KernelMetrics) -> Iterator[None]:
    """Serve the pages for the length of the block, unless the port is 0.

    Raises:
        SettingsError: the port is taken. Where nobody asked for a certain port, another one serves.
    """
    kernel = settings.kernel
    if not kernel.health_port:
        yield
        return
    server = HealthServer(
        Answers(late=dict, findings=lambda: findings(course, ward), metrics=metrics.exposition),
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


def findings(course: Course, ward: Ward) -> Mapping[str, str]:
    """Return `ok` or the trouble of the boot and of the engine."""
    phase, engine = course.phase, ward.engine
    if phase is not BootPhase.MONITORING:
        return {"boot": f"phase {phase.number} of {len(BootPhase)}: {phase.purpose}"}
    return {"boot": OK, "engine": OK if engine.is_healthy else f"{engine.status}: {engine.reason}"}
