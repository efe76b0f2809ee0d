"""What the running stack has to do, for `procos status`: what waits in the queues, is in flight, or needs a person.

Broker, Redis and engine are asked one by one, so that the two that answer are shown while the third is away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from procos.domain.errors import EngineError, UnreachableError
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.kernel.part import Name
from procos.queues import SHELF, Queue, dead, depths
from procos.routes import by_queue
from procos.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from procos.settings import Settings

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue; nobody has declared it yet when it is missing, and not every broker counts consumers."""

    name: str
    ready: int
    consumers: int | None
    is_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is to do; None stands for a service that did not answer, which `troubles` explains."""

    queues: Sequence[QueueRow] = ()
    in_flight: Mapping[str, int] | None = None
    incidents: int | None = None
    troubles: Sequence[str] = field(default=())


def work_of(settings: Settings, parts: Collection[str]) -> Work:
    """Ask those of broker, Redis and engine that are parts of the stack; no answer becomes a trouble."""
    troubles: list[str] = []

    def asked(part: Name, question: Callable[[], Answer]) -> Answer | None:
        try:
            return question() if part in parts else None
        except (UnreachableError, EngineError) as error:
            troubles.append(str(error))
            return None

    queues = asked(Name.BROKER, lambda: queue_rows(settings)) or ()
    in_flight = asked(Name.REDIS, lambda: Steps(settings.redis).in_flight(by_queue()))
    incidents = asked(Name.ENGINE, lambda: Processes(Transport(settings.engine)).open_incidents())
    return Work(queues=queues, in_flight=in_flight, incidents=incidents, troubles=troubles)


def queue_rows(settings: Settings) -> list[QueueRow]:
    """Ask the broker about every queue workers and bridge consume, and about their dead letters.

    Raises:
        BrokerUnreachableError: the broker does not answer.
    """
    tasks = sorted(set(by_queue()) - {Queue.CALLBACKS})
    found = depths(settings.broker, [*tasks, str(Queue.CALLBACKS), *(dead(name) for name in tasks), SHELF])
    if not settings.broker.url.startswith("amqp"):
        # A Redis list that is empty does not exist, and nobody counts who waits for it.
        return [QueueRow(name=name, ready=depth.ready, consumers=None) for name, depth in found.items()]
    return [
        QueueRow(name=name, ready=depth.ready, consumers=depth.consumers, is_missing=depth.missing)
        for name, depth in found.items()
    ]
