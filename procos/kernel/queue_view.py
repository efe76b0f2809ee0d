"""What waits in the queues of the running stack, for `procos status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.queues import Queue, dead, depths
from procos.routes import by_queue

if TYPE_CHECKING:
    from procos.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue; nobody has declared it yet when it is missing, and not every broker counts consumers."""

    name: str
    ready: int
    consumers: int | None
    is_missing: bool = False


def queue_rows(settings: Settings) -> list[QueueRow]:
    """Ask the broker about every queue workers and bridge consume, and about their dead letters.

    Raises:
        BrokerUnreachableError: the broker does not answer.
    """
    consumed = [*sorted(set(by_queue()) - {Queue.CALLBACKS}), str(Queue.CALLBACKS)]
    found = depths(settings.broker, [*consumed, *(dead(name) for name in consumed)])
    if not settings.broker.url.startswith("amqp"):
        # A Redis list that is empty does not exist, and nobody counts who waits for it.
        return [QueueRow(name=name, ready=depth.ready, consumers=None) for name, depth in found.items()]
    return [
        QueueRow(name=name, ready=depth.ready, consumers=depth.consumers, is_missing=depth.missing)
        for name, depth in found.items()
    ]
