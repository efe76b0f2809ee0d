"""How a call that failed is called in the metrics; `procos.metrics` counts by these words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineUnreachableError,
    LeaseLostError,
    LedgerUnreachableError,
    TaskGoneError,
    TaskSuspendedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTCOMES: Mapping[type[BaseException], str] = {
    TaskGoneError: "not_found",
    LeaseLostError: "rejected_lock",
    TaskSuspendedError: "suspended",
    EngineConflictError: "conflict",
    EngineBusyError: "busy",
    EngineDeniedError: "denied",
    EngineUnreachableError: "unreachable",
    LedgerUnreachableError: "redis_unreachable",
}


def outcome_of(error: BaseException) -> str:
    """Return the label of a failed call."""
    return next((label for kind, label in OUTCOMES.items() if isinstance(error, kind)), "error")
