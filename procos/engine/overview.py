"""What is deployed, and how much of it runs and waits for a person: one question to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.engine.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSummary:
    """One deployed version of a process."""

    key: str
    version: int
    name: str
    running: int
    """Instances that have not ended."""
    incidents: int
    """Open incidents of those."""
    id: str


def summaries(transport: Transport) -> Sequence[ProcessSummary]:
    """List every deployed version by key, the newest first.

    Raises:
        EngineUnreachableError, EngineError: the engine does not say.
    """
    rows = transport.get("/process-definition/statistics", {"incidents": "true"})
    return sorted((_summary(row) for row in rows), key=lambda each: (each.key, -each.version))


def _summary(row: Mapping[str, Any]) -> ProcessSummary:
    definition = row["definition"]
    return ProcessSummary(
        key=definition["key"],
        version=definition["version"],
        name=definition.get("name") or "",
        running=row["instances"],
        incidents=sum(kind["incidentCount"] for kind in row.get("incidents") or ()),
        id=definition["id"],
    )
