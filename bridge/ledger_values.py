"""What the ledger answers: values that the bridge's parts decide on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from procos import ledger_keys as keys
from procos.domain.dispatch import DispatchRef
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Token, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_FIELDS = (
    "state", "token", "holder", "lease_ms", "topic", "instance", "activity", "retries",
    "first_at", "reserved_at", "published_at", "seen_at", "worker", "losses", "starts", "retry_config",
)  # fmt: skip
KNOWN_FIELDS = ("state", "token", "due_at", "ahead", "retries")


def new_call() -> str:
    """Return a name of its own for an end."""
    return secrets.token_hex(6)


class Reservation(StrEnum):
    """What a reservation found: nothing, a dispatch that was perhaps never published, one under way, or its end.

    FULL found a cap without a place, and wrote nothing.
    """

    NEW = "new"
    REPUBLISH = "republish"
    ADOPTED = "adopted"
    ENDED = "ended"
    FULL = "full"


class ReportClaim(StrEnum):
    """Whether a failure or postponement still counts."""

    CLAIMED = "claimed"
    SUPERSEDED = "superseded"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The answer to a claim: what it amounts to, how long the try has lasted, and which worker ran it."""

    claim: ReportClaim
    age: timedelta = timedelta(0)
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The answer to a reservation, with the token that counts: an older one when the dispatch is not new."""

    reservation: Reservation
    token: Token
    replaced: keys.State | None = None
    """The state of a dispatch that had not ended and stood in the way: lost, or failed without our knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedOff:
    """The answer to a back-off: whether a poller has fetched the step again meanwhile, and whether it was open."""

    fetched_again: bool = False
    was_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """A dispatch whose step the engine offers again after `delay`."""

    ref: DispatchRef
    queue: str
    delay: timedelta
    same_try: bool
    """Whether it goes on with the age it has: a postponement, rather than a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A dispatch whose step has ended, and how."""

    ref: DispatchRef
    queue: str
    outcome: str
    call: str = field(default_factory=new_call, compare=False)
    """Tells the same end, told again as no answer came, from another report of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """One lease that is due for extension."""

    external_task_id: ExternalTaskId
    holder: str
    token: Token
    milliseconds: int
    known: bool
    """Whether the ledger still has an entry."""
    extendable: bool
    """Whether the dispatch is published: one that is only reserved must run out, to be fetched and published again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is in flight on a queue, and how many places of each cap are taken, by its name."""

    in_flight: int
    taken: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The slots of all live workers of a queue, and how many starts there were on it since Redis began to count."""

    slots: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An entry in whatever state, and when a step that backs off is offered again."""

    state: keys.State
    token: Token
    due_at: int | None = None
    """In milliseconds of the engine's clock, as far as the last fetch has told how that differs from Redis's."""
    is_due: bool = False
    """Whether that moment has come; Redis's clock alone tells."""
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """One entry with a lease, as it was at the moment `now` of Redis's clock; moments are milliseconds."""

    ref: DispatchRef
    state: keys.State
    queue: str
    now: int
    first_at: int
    reserved_at: int
    published_at: int | None
    seen_at: int | None
    worker: str
    losses: int = 0
    """How often this try was given up for lost before."""
    starts: int = 0
    """How often it was started, those before a loss included."""
    lease: timedelta = timedelta(0)
    """How long its lock is; 0 where that is not known."""

    @property
    def is_rebuilt(self) -> bool:
        """Whether the entry was written after a flush, so that its token is not known."""
        return self.ref.token == 0

    @property
    def last_sign(self) -> int:
        """When it last showed itself."""
        return max(self.reserved_at, self.published_at or 0, self.seen_at or 0)

    @property
    def age(self) -> timedelta:
        """How long this try has lasted, waiting included."""
        return timedelta(milliseconds=self.now - self.first_at)

    @property
    def silence(self) -> timedelta:
        """How long nothing was heard of it."""
        return timedelta(milliseconds=self.now - self.last_sign)


def in_flight(external_task_id: str, queue: str, fields: Mapping[str, str | None], now: int) -> InFlight:
    """Read an entry's fields, those of `ENTRY_FIELDS`, as Redis keeps them."""
    retries = fields.get("retries")
    reserved_at = _number(fields.get("reserved_at")) or now
    return InFlight(
        ref=DispatchRef(
            external_task_id=ExternalTaskId(external_task_id),
            token=Token(_number(fields.get("token")) or 0),
            holder=fields.get("holder") or "",
            topic=Topic(fields.get("topic") or ""),
            process_instance_id=ProcessInstanceId(fields.get("instance") or ""),
            activity_id=fields.get("activity") or "",
            retries=int(retries) if retries else None,
            retry_config=fields.get("retry_config") or None,
        ),
        state=keys.State(fields.get("state") or keys.State.RESERVED),
        queue=queue,
        now=now,
        first_at=_number(fields.get("first_at")) or reserved_at,
        reserved_at=reserved_at,
        published_at=_number(fields.get("published_at")),
        seen_at=_number(fields.get("seen_at")),
        worker=fields.get("worker") or "",
        losses=_number(fields.get("losses")) or 0,
        starts=_number(fields.get("starts")) or 0,
        lease=timedelta(milliseconds=_number(fields.get("lease_ms")) or 0),
    )


def known(fields: Mapping[str, str | None], now: int) -> Known:
    """Read an entry's fields, those of `KNOWN_FIELDS`, at the moment `now` of Redis's clock."""
    due_at = _number(fields.get("due_at"))
    return Known(
        state=keys.State(fields.get("state") or keys.State.RESERVED),
        token=Token(_number(fields.get("token")) or 0),
        due_at=None if due_at is None else due_at + (_number(fields.get("ahead")) or 0),
        is_due=due_at is not None and due_at <= now,
        retries=_number(fields.get("retries")),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text else None
