"""What is known about the running stack, as immutable values, and what becomes of them when a part reports.

The `Supervisor` alone makes them; `procos.kernel.state` keeps them in a file, where every other command reads them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.kernel.part import Part

VERSION = 1


class Status(StrEnum):
    """How a part is."""

    WAITING = "waiting"
    BUILDING = "building"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


class Phase(StrEnum):
    """How the stack is as a whole."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the stack did not come up."""

    part: str
    reason: str
    log_tail: str = ""
    log: str = ""
    address: str = ""
    is_unreachable: bool = False
    """Whether the part runs elsewhere, so that nothing here can be mended."""
    exit_code: int = 1
    """What `procos up` ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """What a keeper says about its part; pid and creation time name the process, where there is one."""

    name: str
    status: Status
    reason: str = ""
    pid: int | None = None
    created: float | None = None
    is_restart: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What a health check found; it says nothing about a part that is just being started or stopped."""

    name: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """Somebody wants the stack to stop: Ctrl-C, `procos down`, or a terminal that was closed."""


Item: TypeAlias = PartReport | HealthReport | StopRequest
"""What the supervisor's inbox holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """One part as it is now; `since` is when it took on this status, in seconds of the epoch."""

    name: str
    address: str
    status: Status = Status.WAITING
    reason: str = ""
    is_external: bool = False
    pid: int | None = None
    created: float | None = None
    restarts: int = 0
    since: float = 0.0
    note: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether it answered when it was last asked."""
        return self.status is Status.HEALTHY


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """The whole stack as it is now, and the supervisor it belongs to."""

    pid: int
    created: float
    phase: Phase = Phase.STARTING
    parts: tuple[PartState, ...] = ()
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    version: int = VERSION

    def part(self, name: str) -> PartState:
        """Return the part of that name."""
        return next(part for part in self.parts if part.name == name)

    def is_up(self) -> bool:
        """Whether every part has come up, healthy or, where the stack can do without it, not."""
        return all(part.status in {Status.HEALTHY, Status.UNHEALTHY} for part in self.parts)

    def with_report(self, report: PartReport | HealthReport, *, now: float) -> Self:
        """Return the state after a report."""
        return replace(self, parts=tuple(_after(part, report, now) for part in self.parts))

    def seen_through(self, kernel: Self | None) -> Self:
        """Return the state in which the engine's part shows the engine itself, as the kernel that keeps it sees it."""
        if kernel is None:
            return self
        engines = {part.name: part for part in kernel.parts}
        return replace(self, parts=tuple(_seen(part, engines.get(part.name)) for part in self.parts))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read it back.

        Raises:
            ValueError: the document is none of ours, or of another version.
        """
        try:
            values = dict(document)
            parts = tuple(PartState(**{**part, "status": Status(part["status"])}) for part in values.pop("parts"))
            failure = values.pop("failure")
            values |= {"phase": Phase(values["phase"]), "warnings": tuple(values["warnings"])}
            state = cls(**values, parts=parts, failure=Failure(**failure) if failure else None)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the state of a stack: {error}") from error
        if state.version != VERSION:
            raise ValueError(f"the state of a stack of version {state.version}, expected {VERSION}")
        return state


def waiting(part: Part, *, now: float) -> PartState:
    """Return the state of a part before anything was done about it."""
    return PartState(name=part.name, address=part.address, is_external=part.is_external, since=now, note=part.note)


def _seen(part: PartState, engine: PartState | None) -> PartState:
    if engine is None or part.status not in {Status.HEALTHY, Status.UNHEALTHY}:
        return part
    return replace(
        part, pid=engine.pid, created=engine.created, restarts=part.restarts + engine.restarts,
        reason=part.reason and (engine.reason or part.reason),
    )  # fmt: skip


def _after(part: PartState, report: PartReport | HealthReport, now: float) -> PartState:
    if part.name != report.name:
        return part
    return _checked(part, report, now) if isinstance(report, HealthReport) else _reported(part, report, now)


def _reported(part: PartState, report: PartReport, now: float) -> PartState:
    return replace(
        part,
        status=report.status,
        reason=report.reason,
        pid=report.pid,
        created=report.created,
        restarts=part.restarts + report.is_restart,
        since=part.since if part.status is report.status else now,
    )


def _checked(part: PartState, report: HealthReport, now: float) -> PartState:
    if part.status not in {Status.HEALTHY, Status.UNHEALTHY}:
        return part
    status = Status.UNHEALTHY if report.reason else Status.HEALTHY
    since = part.since if status is part.status else now
    return replace(part, status=status, reason=report.reason or "", since=since)
