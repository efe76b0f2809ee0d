"""Takes single messages off a queue, and publishes them again elsewhere.

A message counts as moved when the broker has confirmed its copy for a queue that exists; whoever moves it acknowledges
the original only then, so that a crash leaves it in one of the two, twice at worst. The copy is what was sent at first:
what RabbitMQ noted since (deaths, deliveries) stays behind, so that every count begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import kombu

OURS = "x-procos-"
"""How the headers begin in which the bridge notes what it did with a message."""

TIMES_PARKED = "procos-parked"
"""A header of our own: RabbitMQ's count of dead letterings does not survive that the message is published again."""

BROKERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
KEPT_PROPERTIES = ("correlation_id", "reply_to")


def take(channel: Any, queue: str) -> Any:
    """Return the next message of a queue, unacknowledged, or None."""
    channel.auto_decode = False  # a body is moved as it came, whatever encoding it claims
    raw = channel.basic_get(queue=queue, no_ack=False)
    return None if raw is None else channel.message_to_python(raw)


def publish_again(
    channel: Any,
    message: Any,
    *,
    exchange: kombu.Exchange,
    routing_key: str,
    headers: Mapping[str, object],
    confirm_timeout: float,
) -> None:
    """Publish a copy with exactly these headers, and wait until the broker has it; whatever goes wrong is raised."""
    kept = {name: message.properties.get(name) for name in KEPT_PROPERTIES}
    channel.basic_publish(
        channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=dict(headers),
            properties={"delivery_mode": 2, **{name: value for name, value in kept.items() if value}},
        ),
        exchange=exchange.name,
        routing_key=routing_key,
        # Without it the broker confirms what no queue takes; the return is raised as an error.
        mandatory=True,
        confirm_timeout=confirm_timeout,
    )


def headers_kept(message: Any) -> dict[str, object]:
    """Return the headers without what the broker noted."""
    return {name: value for name, value in message.headers.items() if not name.startswith(BROKERS)}


def headers_sent(message: Any) -> dict[str, object]:
    """Return the headers without what the broker and the bridge noted: those of the first publication."""
    noted = (OURS, TIMES_PARKED)
    return {name: value for name, value in headers_kept(message).items() if not name.startswith(noted)}
