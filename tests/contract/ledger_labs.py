"""Two ledgers behind one handle: in memory on a frozen clock, and on Redis in real time."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

from celery import Celery

from procos import ledger_keys as keys
from procos.testing import FakeLedger
from tasks.starts import Start, note_start
from tests.services import pause

if TYPE_CHECKING:
    import redis

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from procos.settings import RedisSettings


class LedgerLab(Protocol):
    """What a case may do, beside the calls of the ledger it is about."""

    @property
    def ledger(self) -> Ledger:
        """The ledger a case is about."""

    def start(self, ref: DispatchRef, *, max_starts: int = 3) -> Start:
        """Do what a worker does when it starts a dispatch."""

    def state(self, ref: DispatchRef) -> str | None:
        """Return the state of the entry, None without one."""

    def store_success(self, ref: DispatchRef) -> None:
        """Store the result of a dispatch that ended well, as Celery does."""

    def flush(self) -> None:
        """Lose everything."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""


class FakeLab:
    """The ledger in memory."""

    def __init__(self) -> None:
        self.ledger = FakeLedger()

    def start(self, ref: DispatchRef, *, max_starts: int = 3) -> Start:
        count = self.ledger.mark_started(ref, "worker")
        if count < 0:
            return Start.SUPERSEDED
        return Start.TOO_OFTEN if count > max_starts else Start.RUN

    def state(self, ref: DispatchRef) -> str | None:
        entry = self.ledger.entries.get(ref.external_task_id)
        return entry.state.value if entry else None

    def store_success(self, ref: DispatchRef) -> None:
        self.ledger.results[ref.celery_id] = {"status": "SUCCESS"}

    def flush(self) -> None:
        self.ledger.entries.clear()
        self.ledger.leases.clear()
        self.ledger.retries_due.clear()

    def pass_time(self, seconds: float) -> None:
        self.ledger.clock.advance(seconds=seconds)


class RedisLab:
    """The ledger on Redis, and the workers' own way to write a start."""

    def __init__(self, ledger: Ledger, client: redis.Redis, settings: RedisSettings) -> None:
        self.ledger, self._client, self._settings = ledger, client, settings

    def start(self, ref: DispatchRef, *, max_starts: int = 3) -> Start:
        return note_start(ref, "worker", max_starts=max_starts, settings=self._settings)

    def state(self, ref: DispatchRef) -> str | None:
        value = self._client.hget(keys.entry(ref.external_task_id), "state")
        return value.decode() if isinstance(value, bytes) else None

    def store_success(self, ref: DispatchRef) -> None:
        app = Celery(backend=self._settings.url, set_as_current=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Celery's own way to write, which redis-py dislikes
            app.backend.store_result(ref.celery_id, {"status": "FAILURE"}, "SUCCESS")

    def flush(self) -> None:
        self._client.flushall()

    def pass_time(self, seconds: float) -> None:
        pause(seconds)
