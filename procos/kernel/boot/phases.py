"""The six phases of a boot, and what is told of each while it lasts and when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class BootPhase(StrEnum):
    """What the kernel does, in this order; the last one lasts until it is asked to stop."""

    ENVIRONMENT = "environment"
    ENGINE = "engine"
    READINESS = "readiness"
    MODELS = "models"
    ORCHESTRATOR = "orchestrator"
    MONITORING = "monitoring"

    @property
    def number(self) -> int:
        """Its place among the six, from 1."""
        return list(BootPhase).index(self) + 1

    @property
    def purpose(self) -> str:
        """What it is for, in words."""
        return _PURPOSES[self]


_PURPOSES: Mapping[BootPhase, str] = {
    BootPhase.ENVIRONMENT: "validate the environment",
    BootPhase.ENGINE: "start the engine",
    BootPhase.READINESS: "wait until it is ready",
    BootPhase.MODELS: "deploy the root models",
    BootPhase.ORCHESTRATOR: "start procos_system_orchestrator",
    BootPhase.MONITORING: "monitor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseDone:
    """A phase that is over: how long it took, in seconds, and what came of it."""

    phase: BootPhase
    seconds: float
    outcome: str
    has_failed: bool = False
