"""Acknowledges results in the order they came, many with one frame: each frame is an entry in the log of the queue.

AMQP acknowledges one message, or all up to one. So what is done waits a moment for those that came before it; what
still waits for them then is acknowledged by itself, since a result that is held up must not hold up others. Where a
connection ends before, the broker delivers again what was reported, and reporting twice burns nothing.
Source: AMQP 0-9-1, basic.ack, bit `multiple`; RabbitMQ documentation, "Consumer Acknowledgements".
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 0.05


class Acknowledgements:
    """What came over one channel and is not acknowledged yet; belongs to the channel's thread.

    `in_order` says that the transport has the bit `multiple`, which those without AMQP have not.
    """

    def __init__(self, *, in_order: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._in_order, self._clock = in_order, clock
        self._came: deque[Any] = deque()
        self._done: dict[Any, Any] = {}
        self._since = 0.0

    def came(self, message: Any) -> None:
        """Note a message, in the order of delivery."""
        if self._in_order:
            self._came.append(message.delivery_tag)

    def done(self, message: Any) -> None:
        """Acknowledge a message with the next `send`."""
        if not self._in_order:
            message.ack()
            return
        if not self._done:
            self._since = self._clock()
        self._done[message.delivery_tag] = message

    def left(self) -> float | None:
        """Return the seconds until something is to be sent, None where nothing is."""
        return max(0.0, self._since + PATIENCE_SECONDS - self._clock()) if self._done else None

    def send(self, *, at_once: bool = False) -> None:
        """Acknowledge what came before all that is not done; after a moment, or `at_once`, the rest one by one."""
        last = None
        count = 0
        while self._came and (message := self._done.pop(self._came[0], None)) is not None:
            self._came.popleft()
            last, count = message, count + 1
        if last is not None:
            last.ack(multiple=count > 1)
        if self._done and (at_once or not self.left()):
            self._send_alone()

    def _send_alone(self) -> None:
        done, self._done = self._done, {}
        self._came = deque(tag for tag in self._came if tag not in done)
        for message in done.values():
            message.ack()
