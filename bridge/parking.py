"""Moves results to another queue: to a pause in the broker, or to the shelf of the dead letters.

It has a connection of its own, because RabbitMQ stops reading from a connection that publishes while memory or disk run
low, and acknowledgements must go on meanwhile. A message counts as moved when the broker has confirmed it for a queue
that exists; `Callbacks` acknowledges the original only then, and tries again later otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.link import open_link
from bridge.moving import TIMES_PARKED, headers_kept, publish_again
from bridge.shelf import REASON, shelf_headers, written
from procos import metrics
from procos.logs import get_logger
from procos.queues import DEAD_LETTERS, EXCHANGE, PARKED, SHELF, Queue, hang_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import kombu

    from procos.settings import BrokerSettings

PAUSE_SECONDS = 5.0
"""How long a result is kept back where the broker has no timed queue."""

log = get_logger(__name__)


class Parking:
    """Moves messages; belongs to one thread at a time, and connects when first needed."""

    def __init__(self, broker: BrokerSettings, queues: Iterable[str]) -> None:
        self._broker, self._queues = broker, tuple(queues)
        self._has_timed_queues = broker.url.startswith("amqp")
        self._connection: kombu.Connection | None = None
        self._channel: Any = None

    @property
    def keep_back_seconds(self) -> float:
        """How long to wait before `park`, because the broker will not."""
        return 0.0 if self._has_timed_queues else PAUSE_SECONDS

    def park(self, message: Any, reason: str) -> bool:
        """Put a message where it returns to `callbacks` from; returns whether the broker has it."""
        target = PARKED if self._has_timed_queues else str(Queue.CALLBACKS)
        noted = {REASON: written(reason), TIMES_PARKED: times_parked(message) + 1}
        return self._move(message, EXCHANGE, target, {**headers_kept(message), **noted})

    def bury(self, message: Any, reason: str) -> bool:
        """Put a message on the shelf, where it is kept until a person acts; returns whether the broker has it."""
        headers = shelf_headers(message, origin=Queue.CALLBACKS, reason=reason, moment=datetime.now(UTC))
        is_shelved = self._move(message, DEAD_LETTERS, SHELF, headers)
        if is_shelved:
            metrics.dead_lettered(Queue.CALLBACKS, metrics.DeadLetter.UNREADABLE)
        return is_shelved

    def close(self) -> None:
        """Close the connection; the next message opens another, and declares the queues again."""
        if self._connection is not None:
            hang_up(self._connection)
            self._connection = self._channel = None

    def _move(self, message: Any, exchange: kombu.Exchange, target: str, headers: Mapping[str, object]) -> bool:
        try:
            publish_again(
                self._open_channel(),
                message,
                exchange=exchange,
                routing_key=target,
                headers=headers,
                confirm_timeout=self._broker.confirm_timeout,
            )
        except Exception as error:  # noqa: BLE001  # any transport's error: the original is still unacknowledged
            log.warning("callbacks.not_moved", queue=target, reason=str(error) or type(error).__name__)
            self.close()
            return False
        return True

    def _open_channel(self) -> Any:
        if self._connection is None:
            self._connection = open_link(self._broker, self._queues, confirm_publish=True)
            self._channel = self._connection.channel()
        return self._channel


def times_parked(message: Any) -> int:
    """Count how often a message was parked before."""
    count = message.headers.get(TIMES_PARKED)
    return max(count, 0) if isinstance(count, int) else 0
