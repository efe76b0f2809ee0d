"""The registry in memory; several of them over one `Register` are several bridges."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from bridge.registry import REPLICA_LEASE_SECONDS, Registry
from procos.domain.errors import LedgerUnreachableError
from procos.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterable

_boots, _epochs = count(1), count(1)


@dataclass(slots=True, kw_only=True)
class Register:
    """What all bridges see: who holds which name until when (in milliseconds), the worker ids, and the epoch."""

    clock: FrozenClock = field(default_factory=FrozenClock)
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)
    has_epoch: bool = False
    epoch: int = 0
    is_down: bool = False

    def flush(self) -> None:
        """Lose everything."""
        self.held.clear()
        self.holders.clear()
        self.has_epoch = False


class FakeRegistry(Registry):
    """The `Registry` of one bridge in memory."""

    def __init__(self, register: Register | None = None, *, holders: Iterable[str] = ()) -> None:
        self.address = "memory"
        self.register = register or Register()
        self.register.holders.update(holders)
        self.boot_id = f"boot {next(_boots)}"
        self._epoch = None

    def ping(self) -> None:
        """Make sure that it answers."""
        if self.register.is_down:
            raise LedgerUnreachableError(self.address, "connection refused")

    def hold_replica(self, replica_id: str) -> str | None:
        """Take or renew the lease on a replica id; returns which other bridge has it, if one has."""
        return self._held_by(f"replica {replica_id}", REPLICA_LEASE_SECONDS)

    def release_replica(self, replica_id: str) -> None:
        """Let the next bridge have the replica id at once."""
        self.ping()
        self._let_go_of(f"replica {replica_id}")

    def alive(self, replica_ids: Iterable[str]) -> frozenset[str]:
        """Return those of the replica ids that a bridge holds."""
        self.ping()
        return frozenset(each for each in replica_ids if self._holder(f"replica {each}") is not None)

    def has_turn(self, job: str, seconds: float) -> bool:
        """Take or keep the turn at a periodic job."""
        return self._held_by(f"turn {job}", seconds) is None

    def pass_turn(self, job: str) -> None:
        """Let another have the turn at once, if it is this bridge's."""
        self.ping()
        self._let_go_of(f"turn {job}")

    def register_holder(self, holder: str) -> None:
        """Remember a worker id of ours."""
        self.ping()
        self.register.holders.add(holder)

    def forget_holder(self, holder: str) -> None:
        """Forget a worker id of a bridge that is gone."""
        self.ping()
        self.register.holders.discard(holder)

    def holders(self) -> frozenset[str]:
        """Return every worker id of ours that was ever registered."""
        self.ping()
        return frozenset(self.register.holders)

    def is_ours(self, holder: str) -> bool:
        """Whether a worker id belongs to a replica of this bridge."""
        self.ping()
        return holder in self.register.holders

    def begin_epoch(self) -> bool:
        """Write the mark that a flush would take; returns whether it was missing, or is another than was known."""
        self.ping()
        was_missing = not self.register.has_epoch
        if was_missing:
            self.register.has_epoch, self.register.epoch = True, next(_epochs)
        before, self._epoch = self._epoch, str(self.register.epoch)
        return was_missing or (before is not None and before != self._epoch)

    def _held_by(self, name: str, seconds: float) -> str | None:
        self.ping()
        holder = self._holder(name)
        if holder is not None and holder != self.boot_id:
            return holder
        self.register.held[name] = (self.boot_id, self.register.clock.milliseconds() + round(seconds * 1000))
        return None

    def _let_go_of(self, name: str) -> None:
        if self._holder(name) == self.boot_id:
            del self.register.held[name]

    def _holder(self, name: str) -> str | None:
        holder, until = self.register.held.get(name, (None, 0))
        return holder if until > self.register.clock.milliseconds() else None
