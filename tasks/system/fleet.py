"""The workers as they answer themselves, the queues as the broker counts them, and what is in flight.

`CeleryFleet` asks over a connection of its own, whose waits all have limits; a worker that does not answer in time is
left out, as one that is gone would be. `worker_management` makes a report of the answers.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from procos.app import app
from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError, LedgerUnreachableError
from procos.queues import connect, depths, errors_of, hang_up
from procos.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from celery.app.control import Inspect

    from procos.queues import QueueDepth
    from procos.settings import Settings

ANSWER_SECONDS = 2.0
PREFIX = "procos."


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One Celery task that a worker is at."""

    celery_id: str
    task: str
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker that has answered."""

    name: str
    queues: tuple[str, ...]
    pool: str
    concurrency: int
    runs: tuple[Run, ...] = ()

    def as_variable(self) -> dict[str, Any]:
        """Return it as a process keeps it; what it runs is counted by topic."""
        running = Counter(run.task.removeprefix(PREFIX) for run in self.runs)
        return {
            "name": self.name,
            "queues": list(self.queues),
            "pool": self.pool,
            "concurrency": self.concurrency,
            "running": dict(sorted(running.items())),
        }


class Fleet(Protocol):
    """What `worker_management` has to know."""

    def workers(self) -> Sequence[Worker]:
        """Return the workers that answer, by name."""

    def depths(self, queues: Collection[str]) -> Mapping[str, QueueDepth]:
        """Return how much waits in each queue."""

    def in_flight(self, queues: Collection[str]) -> int | None:
        """Count the dispatches in flight; None where nobody knows."""


class CeleryFleet:
    """The fleet over Celery's remote control, the broker and the ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._steps = settings, Steps(settings.redis)

    def workers(self) -> Sequence[Worker]:
        """Return the workers that answer within the limit, by name.

        Raises:
            BrokerUnreachableError: the broker does not answer.
        """
        with self._inspection() as ask:
            stats = ask().stats() or {}
            # Those that have answered are asked by name, so that nobody waits for more answers than there can be.
            names = sorted(stats)
            queues, active = (ask(names).active_queues(), ask(names).active()) if names else (None, None)
        return workers_in(stats, queues or {}, active or {})

    def depths(self, queues: Collection[str]) -> Mapping[str, QueueDepth]:
        """Return how much waits in each queue.

        Raises:
            BrokerUnreachableError: the broker does not answer.
        """
        return depths(self._settings.broker, queues)

    def in_flight(self, queues: Collection[str]) -> int | None:
        """Count what the ledger has in flight, waiting in the queues included; None where Redis does not answer."""
        try:
            return sum(self._steps.in_flight(queues).values())
        except LedgerUnreachableError:
            return None

    @contextmanager
    def _inspection(self) -> Iterator[Any]:
        connection = connect(self._settings.broker)

        def ask(names: Sequence[str] | None = None) -> Inspect:
            return app.control.inspect(destination=names, timeout=ANSWER_SECONDS, connection=connection)

        try:
            yield ask
        except errors_of(connection) as error:
            reason = str(error) or type(error).__name__
            raise BrokerUnreachableError(without_secrets(self._settings.broker.url), reason) from error
        finally:
            hang_up(connection)


def workers_in(stats: Mapping[str, Any], queues: Mapping[str, Any], active: Mapping[str, Any]) -> Sequence[Worker]:
    """Read the answers of Celery's `stats`, `active_queues` and `active`; others than ours may answer otherwise."""
    return [
        Worker(
            name=name,
            queues=tuple(sorted(str(queue.get("name")) for queue in queues.get(name) or ())),
            pool=_pool(stats[name]),
            concurrency=_concurrency(stats[name]),
            runs=tuple(_run(task) for task in active.get(name) or ()),
        )
        for name in sorted(stats)
    ]


def _run(task: Mapping[str, Any]) -> Run:
    delivery = task.get("delivery_info") or {}
    return Run(
        celery_id=str(task.get("id") or ""),
        task=str(task.get("name") or ""),
        queue=str(delivery.get("routing_key") or ""),
    )


def _pool(stats: Mapping[str, Any]) -> str:
    """Return a pool's short name: prefork for `celery.concurrency.prefork:TaskPool`."""
    implementation = str((stats.get("pool") or {}).get("implementation") or "")
    return implementation.partition(":")[0].rpartition(".")[2]


def _concurrency(stats: Mapping[str, Any]) -> int:
    most = (stats.get("pool") or {}).get("max-concurrency")
    return most if isinstance(most, int) else 0
