"""The Celery worker's consumer: declares the whole topology, and leaves out what ProcOS has no use for.

Celery declares 28 delay queues for every broker with quorum queues, so that countdowns work; ProcOS delays through the
engine's retry timer alone. Without them a worker starts in a second or two and small broker plans are not used up.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.connection import Connection
from celery.worker.request import Request as CeleryRequest

from procos.logs import get_logger
from procos.queues import declare
from procos.routes import by_queue

log = get_logger(__name__)

DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class Topology(bootsteps.StartStopStep):
    """Declares every queue at each (re)connection, so that a worker for one queue works on an empty broker."""

    requires = (Connection,)

    def start(self, parent: CeleryConsumer) -> None:
        """Declare the queues, the outbox and the dead letters."""
        otherwise = declare(parent.connection, by_queue()) if parent.connection else ()
        if otherwise:
            log.warning("topology.declared_otherwise", queues=list(otherwise))


class Request(CeleryRequest):
    """A task in a worker's hands; shows `celery inspect`, and so Flower, the names of its variables alone."""

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002  # celery's signature
        """Describe the task without its arguments, which hold the contents of variables."""
        return super().info(safe=True)


class Consumer(CeleryConsumer):
    """Celery's consumer; named by the option `worker_consumer`."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type,misc]  # celery's stubs make it a variable
        """The steps of a worker's consumer."""

        default_steps = tuple(
            "procos.worker:Topology" if step == DELAYED_DELIVERY else step
            for step in CeleryConsumer.Blueprint.default_steps
        )
