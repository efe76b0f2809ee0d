"""Two ledgers behind one handle: in memory on a frozen clock, and on Redis in real time."""

from __future__ import annotations

import json
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from unittest.mock import patch

from celery import Celery

from bridge.ledger import Ledger
from procos import ledger_keys as keys
from procos.testing import FakeLedger, dispatch_ref
from procos.worker_slots import WorkerSlots
from tasks import starts
from tasks.heartbeat import RedisSigns
from tasks.runs import Run
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

    from bridge.ledger_values import ReportClaim, Reservation
    from procos.caps import Cap
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.settings import RedisSettings

LEASE = timedelta(seconds=20)
SHORT_LEASE, HALF_TIME = timedelta(milliseconds=400), 0.25
OLD, NEW = dispatch_ref(token=1000), dispatch_ref(token=2000)
QUEUE, WORKER = "ai", "worker"


class LedgerLab(Protocol):
    """What a case may do, beside the calls of the ledger it is about."""

    @property
    def ledger(self) -> Ledger:
        """The ledger a case is about."""

    def start(self, ref: DispatchRef, *, run: str = "run", dead_since: int | None = None) -> Sequence[int]:
        """Do what a worker does when it starts a dispatch, and return the ledger's answer."""

    def beat(self, ref: DispatchRef, *, run: str = "run") -> bool:
        """Do what a worker does once a second; returns whether it was told that the step was cancelled."""

    def state(self, ref: DispatchRef) -> str | None:
        """Return the state of the entry, None without one."""

    def step(self, ref: DispatchRef) -> str | None:
        """Return the outcome that is kept of a step that ended."""

    def put_back(self, ref: DispatchRef, moment: str, *, seconds: float) -> None:
        """Let a moment of the entry lie further in the past."""

    def store_result(self, ref: DispatchRef, status: str = "SUCCESS") -> None:
        """Store the result of a dispatch that ended, as Celery does."""

    def cap(self, caps: Mapping[Topic, Sequence[Cap]]) -> None:
        """Let the routes have these caps."""

    def show_slots(self, worker: str, queues: Sequence[str], slots: int, ttl_ms: int) -> None:
        """Do what a worker does every few seconds, for a worker that runs so many tasks at once."""

    def flush(self) -> None:
        """Lose everything."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""


class FakeLab:
    """The ledger in memory."""

    def __init__(self) -> None:
        self.ledger = FakeLedger()

    def start(self, ref: DispatchRef, *, run: str = "run", dead_since: int | None = None) -> Sequence[int]:
        return self.ledger.mark_started(ref, WORKER, run=run, dead_since=dead_since)

    def beat(self, ref: DispatchRef, *, run: str = "run") -> bool:
        return self.ledger.mark_alive(ref, WORKER, run=run)

    def state(self, ref: DispatchRef) -> str | None:
        entry = self.ledger.entries.get(ref.external_task_id)
        return entry.state.value if entry else None

    def step(self, ref: DispatchRef) -> str | None:
        return self.ledger.closed.get(ref.external_task_id)

    def put_back(self, ref: DispatchRef, moment: str, *, seconds: float) -> None:
        entry = self.ledger.entries[ref.external_task_id]
        setattr(entry, moment, getattr(entry, moment) - round(seconds * 1000))

    def store_result(self, ref: DispatchRef, status: str = "SUCCESS") -> None:
        self.ledger.results[ref.celery_id] = {"status": status}

    def cap(self, caps: Mapping[Topic, Sequence[Cap]]) -> None:
        self.ledger.caps = caps

    def show_slots(self, worker: str, queues: Sequence[str], slots: int, ttl_ms: int) -> None:
        self.ledger.show_slots(worker, queues, slots, ttl_ms)

    def flush(self) -> None:
        self.ledger.flush()

    def pass_time(self, seconds: float) -> None:
        self.ledger.clock.advance(seconds=seconds)


class RedisLab:
    """The ledger on Redis, and the workers' own ways to write a start and a sign of life."""

    def __init__(self, ledger: Ledger, client: redis.Redis, settings: RedisSettings) -> None:
        self.ledger, self._client, self._settings = ledger, client, settings
        self._signs = RedisSigns(settings.url)
        self._caps: Mapping[Topic, Sequence[Cap]] = {}

    def start(self, ref: DispatchRef, *, run: str = "run", dead_since: int | None = None) -> Sequence[int]:
        return starts._ask(_run(ref, run), self._settings.url, dead_since="" if dead_since is None else dead_since)

    def beat(self, ref: DispatchRef, *, run: str = "run") -> bool:
        with patch("procos.caps.all_caps", lambda: self._caps):  # the workers' own are those of the routes
            return list(self._signs.show([_run(ref, run)])) == [-1]

    def state(self, ref: DispatchRef) -> str | None:
        value = self._client.hget(keys.entry(ref.external_task_id), "state")
        return value.decode() if isinstance(value, bytes) else None

    def step(self, ref: DispatchRef) -> str | None:
        line = self._client.hget(keys.steps(ref.process_instance_id), ref.external_task_id)
        line = line or self._client.get(keys.ended(ref.external_task_id))
        return str(json.loads(line)["outcome"]) if isinstance(line, bytes) else None

    def put_back(self, ref: DispatchRef, moment: str, *, seconds: float) -> None:
        self._client.hincrby(keys.entry(ref.external_task_id), moment, -round(seconds * 1000))

    def store_result(self, ref: DispatchRef, status: str = "SUCCESS") -> None:
        app = Celery(backend=self._settings.url, set_as_current=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Celery's own way to write, which redis-py dislikes
            result = ValueError("no") if status == "FAILURE" else {"status": "FAILURE"}
            app.backend.store_result(ref.celery_id, result, status)

    def cap(self, caps: Mapping[Topic, Sequence[Cap]]) -> None:
        self.ledger = Ledger(self._settings, caps)
        self._caps = caps

    def show_slots(self, worker: str, queues: Sequence[str], slots: int, ttl_ms: int) -> None:
        shown = WorkerSlots(self._settings.url, worker, kept_ms=ttl_ms)
        shown.show(slots, queues)

    def flush(self) -> None:
        self._client.flushall()

    def pass_time(self, seconds: float) -> None:
        pause(seconds)


def _run(ref: DispatchRef, run: str) -> Run:
    return Run(ref=ref, queue=QUEUE, worker=WORKER, id=run)


def reserve(lab: LedgerLab, ref: DispatchRef, lease: timedelta = LEASE) -> tuple[Reservation, int]:
    (answer,) = lab.ledger.reserve([ref], "ai", lease)
    return answer.reservation, answer.token


def claim(lab: LedgerLab, ref: DispatchRef) -> ReportClaim:
    return lab.ledger.claim_report(ref, "ai").claim


def publish(lab: LedgerLab, ref: DispatchRef, lease: timedelta = LEASE) -> None:
    reserve(lab, ref, lease)
    lab.ledger.mark_published([ref])
