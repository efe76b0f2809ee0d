"""Puts second copies of waiting messages into a queue, id and all, as a publish that was repeated needlessly does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import amqp

from procos.queues import connect
from tests.services import pause

if TYPE_CHECKING:
    from procos.settings import BrokerSettings

LOOK_SECONDS = 0.1


def copy_waiting(broker: BrokerSettings, queue: str, *, most: int, seconds: float) -> int:
    """Copy the next messages that wait in a queue; returns how many.

    Raises:
        TimeoutError: none came in time.
    """
    copied = 0
    deadline = time.monotonic() + seconds
    with connect(broker, confirm_publish=True) as connection:
        channel: Any = connection.default_channel
        while copied < most and (copied == 0 or time.monotonic() < deadline):
            message = channel.basic_get(queue)
            if message is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nothing waited in {queue} to be copied")
                pause(LOOK_SECONDS)
                continue
            info = message.delivery_info
            for _ in range(2):
                copy = amqp.Message(message.body, **message.properties)
                channel.basic_publish(copy, exchange=info["exchange"], routing_key=info["routing_key"])
            channel.basic_ack(info["delivery_tag"])
            copied += 1
    return copied
