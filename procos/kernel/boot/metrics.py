"""What the kernel counts, for Prometheus: its boot, and how often it had to start the engine again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from procos.kernel.boot.phases import PhaseDone
    from procos.kernel.stack import PartState


class KernelMetrics:
    """The series of one kernel, in a registry of their own: those of the bridge are none of its business."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._phase = Gauge(
            "procos_kernel_phase_seconds", "How long a phase of the boot took.", ["phase"], registry=self._registry
        )
        self._restarts = Gauge(
            "procos_kernel_engine_restarts", "Starts of the engine after its first.", registry=self._registry
        )
        self._is_up = Gauge(
            "procos_kernel_engine_up", "Whether the engine answered when it was last asked.", registry=self._registry
        )

    def over(self, done: PhaseDone) -> None:
        """Note how long a phase took."""
        self._phase.labels(done.phase).set(done.seconds)

    def see(self, engine: PartState) -> None:
        """Note how the engine is."""
        self._restarts.set(engine.restarts)
        self._is_up.set(engine.is_healthy)

    def exposition(self) -> bytes:
        """Return the series as Prometheus reads them."""
        return generate_latest(self._registry)
