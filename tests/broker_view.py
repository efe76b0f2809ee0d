"""A look into RabbitMQ from beside: what waits where, and messages of our own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import amqp

from procos.queues import EXCHANGE, connect, declare, depths, topology
from tests.services import pause, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import kombu

    from procos.settings import BrokerSettings

QUEUES = ("ai", "generic")
RECOVERY_SECONDS = 30.0
SETTLING_SECONDS = 1.0


class BrokerView:
    """Reads and writes queues on short connections of its own."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.settings = settings

    def empty(self) -> None:
        """Delete every queue, as on a broker that was just installed."""

        def delete_all() -> None:
            with connect(self.settings) as connection:
                for queue in topology(QUEUES):
                    _channel(connection).queue_delete(queue.name)

        patiently(delete_all)

    def declare(self) -> None:
        """Declare every queue."""

        def declare_all() -> None:
            with connect(self.settings) as connection:
                declare(connection, QUEUES)

        patiently(declare_all)

    def await_recovery(self) -> None:
        """Wait after a restart until every queue is led again; deleting one before that breaks parts of RabbitMQ."""

        def look_into_all() -> None:
            with connect(self.settings) as connection:
                for queue in topology(QUEUES):
                    # Not acknowledged, so what is found returns when the connection ends.
                    _channel(connection).basic_get(queue.name)

        patiently(look_into_all)
        pause(SETTLING_SECONDS)

    def delete(self, queue: str) -> None:
        """Delete one queue."""
        with connect(self.settings) as connection:
            _channel(connection).queue_delete(queue)

    def waiting(self, queue: str) -> int:
        """Count what is ready in a queue; -1 when it does not exist."""
        depth = depths(self.settings, [queue])[queue]
        return -1 if depth.missing else depth.ready

    def consumers(self, queue: str) -> int:
        """Count the consumers of a queue."""
        return depths(self.settings, [queue])[queue].consumers

    def take(self, queue: str, seconds: float = 10.0) -> Any:
        """Wait for the next message, and take it off the queue."""
        found: list[Any] = []

        def got_one() -> bool:
            # A quorum queue that was just recovered is not there for a moment.
            with suppress(amqp.AMQPError), connect(self.settings) as connection:
                message: Any = _channel(connection).basic_get(queue, no_ack=True)
                if message is not None:
                    found.append(message)
            return bool(found)

        wait_until(got_one, seconds, what=f"a message is in {queue}")
        return found[0]

    def put(self, queue: str, body: bytes, headers: Mapping[str, object]) -> None:
        """Publish a message as Celery's callbacks are."""
        with connect(self.settings) as connection:
            channel = _channel(connection)
            message = channel.prepare_message(
                body, content_type="application/json", content_encoding="utf-8", headers=dict(headers)
            )
            channel.basic_publish(message, exchange=EXCHANGE.name, routing_key=queue)


def patiently(act: Callable[[], None]) -> None:
    """Act until the broker takes it: for a moment after a restart, quorum queues answer with an internal error."""

    def succeeded() -> bool:
        try:
            act()
        except (amqp.AMQPError, OSError):
            return False
        return True

    wait_until(succeeded, RECOVERY_SECONDS, what="the broker has recovered its queues")


def _channel(connection: kombu.Connection) -> Any:
    """Return a channel with AMQP's own calls, which kombu's stubs do not know."""
    return connection.default_channel
