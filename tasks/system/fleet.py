"""The workers as they answer themselves, the queues as the broker counts them, and what is in flight.

`CeleryFleet` asks over a connection of its own, whose waits all have limits; a worker that does not answer in time is
left out, as one that is gone would be. `worker_management` makes a report of the answers.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from celery.app.control import Control

from procos.app import app
from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError, LedgerUnreachableError
from procos.queues import connect, depths, errors_of, hang_up
from procos.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
        self._control = Control(app)
        # It would else ask over the app's own connections, whose waits have no limit.
        self._control.mailbox.producer_pool = None  # type: ignore[attr-defined]  # celery-types lack it

    def workers(self) -> Sequence[Worker]:
        """Return the workers that answer within the limit, by name.

        Raises:
            BrokerUnreachableError: the broker does not answer.
        """
        with self._inspection() as ask:
            stats = ask("stats", None)
            # Those that have answered are asked by name, so that nobody waits for more answers than there can be.
            names = sorted(stats)
            queues, active = (ask("active_queues", names), ask("active", names)) if names else ({}, {})
        return workers_in(stats, queues, active)

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

        def ask(command: str, names: Sequence[str] | None) -> dict[str, Any]:
            replies = self._control.broadcast(
                command,
                destination=names,
                timeout=ANSWER_SECONDS,
                limit=len(names) if names else None,
                connection=connection,
                reply=True,
            )
            return {name: answer for reply in replies or () for name, answer in reply.items()}

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
