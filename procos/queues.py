"""The queues, their dead letters and the outbox: declared once, here, by every part that starts.

    ai, generic, …      quorum, delivery limit; what exceeds it, or is rejected, goes to <queue>.dead
    callbacks           the outbox of results: quorum, no limit and no expiry, acknowledged after the engine's verdict
    callbacks.parked    results that cannot be reported now; they return to callbacks after a pause
    <queue>.dead        dead letters on their way to the bridge, which makes incidents of them
    dead-letters        the shelf: what nobody could process, kept until a person acts

Arguments never differ between parts, so no part can refuse another's declaration. The client library waits for the
broker's answers without limit, and so for ever for one that is frozen: on what `connect` opens, every answer has its
limit. Sources: RabbitMQ documentation, "Quorum Queues" (delivery limit, at-least-once dead lettering), "Time-To-Live".
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import kombu
from kombu import compression
from kombu.exceptions import OperationalError

from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from procos.settings import BrokerSettings

EXCHANGE = kombu.Exchange("procos", type="direct", durable=True)
DEAD_LETTERS = kombu.Exchange("procos.dead", type="direct", durable=True)
DELIVERY_LIMIT = 5
PARKING_MILLISECONDS = 15_000
CONNECT_TIMEOUT = 5
ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 1.0
PRECONDITION_FAILED = 406
UNLIMITED_SINCE = 4
"""The major version of RabbitMQ that limits deliveries of a quorum queue to 20 unless told otherwise."""


class Queue(StrEnum):
    """The queues ProcOS ships; routes of third parties may name further ones."""

    AI = "ai"
    GENERIC = "generic"
    CALLBACKS = "callbacks"


PARKED = f"{Queue.CALLBACKS}.parked"
SHELF = "dead-letters"
NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
"""A queue of tasks. No dot, since ours beside it have one; no comma, which stands between names after -Q."""
LONGEST_NAME = 60
"""Characters; a worker is called by its queues, and the broker's names end at 255 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """What waits in a queue, and how many consumers it has; `missing` when nobody declared it yet."""

    ready: int = 0
    consumers: int = 0
    missing: bool = False


class OutboxQueue(kombu.Queue):
    """A quorum queue without delivery limit: its consumer holds messages through outages of the engine."""

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:  # noqa: FBT001, FBT002  # kombu's signature
        """Declare the queue, switching off the limit that RabbitMQ 4 sets and RabbitMQ 3 does not know."""
        arguments = dict(self.queue_arguments or {})
        target: Any = channel or self.channel
        if _major_version(target) >= UNLIMITED_SINCE:
            arguments["x-delivery-limit"] = -1
        return target.queue_declare(
            queue=self.name, passive=passive, durable=True, exclusive=False, auto_delete=False,
            arguments=arguments, nowait=nowait,
        )  # fmt: skip


def task_queue(name: str) -> kombu.Queue:
    """Return the declaration of a queue workers consume."""
    return kombu.Queue(name, exchange=EXCHANGE, routing_key=name, durable=True, queue_arguments={
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTERS.name,
        "x-dead-letter-routing-key": dead(name),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    })  # fmt: skip


def callback_queue() -> kombu.Queue:
    """Return the declaration of the outbox."""
    return OutboxQueue(
        Queue.CALLBACKS,
        exchange=EXCHANGE,
        routing_key=Queue.CALLBACKS,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"},
    )


def parked_queue() -> kombu.Queue:
    """Return the declaration of the pause, after which a result is offered to the bridge again."""
    return OutboxQueue(PARKED, exchange=EXCHANGE, routing_key=PARKED, durable=True, queue_arguments={
        "x-queue-type": "quorum",
        "x-message-ttl": PARKING_MILLISECONDS,
        "x-dead-letter-exchange": EXCHANGE.name,
        "x-dead-letter-routing-key": str(Queue.CALLBACKS),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    })  # fmt: skip


def dead_queue(name: str) -> kombu.Queue:
    """Return the declaration of a queue's dead letters."""
    return _kept(dead(name))


def shelf_queue() -> kombu.Queue:
    """Return the declaration of the queue where everything ends that nobody can process."""
    return _kept(SHELF)


def _kept(name: str) -> kombu.Queue:
    return OutboxQueue(
        name,
        exchange=DEAD_LETTERS,
        routing_key=name,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"},
    )


def dead(name: str) -> str:
    """Return the name of a queue's dead letters."""
    return f"{name}.dead"


def fault_of_name(name: str) -> str | None:
    """Say why tasks cannot have a queue of this name; None where they can."""
    if name in {Queue.CALLBACKS, SHELF}:
        return f"queue {name!r} is one of ProcOS's own; choose another name"
    if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
        return (
            f"{name!r} cannot name a queue: expected at most {LONGEST_NAME} small letters, digits, and single _ or -, "
            "such as reports"
        )
    return None


def topology(names: Iterable[str]) -> Sequence[kombu.Queue]:
    """Return every declaration, for the given task queues."""
    tasks = sorted(set(names) - {Queue.CALLBACKS})
    return [
        shelf_queue(),
        *(dead_queue(name) for name in tasks),
        *(task_queue(name) for name in tasks),
        callback_queue(),
        parked_queue(),
    ]


def declare(connection: kombu.Connection, names: Iterable[str]) -> Sequence[str]:
    """Declare the whole topology, so that any part alone works on an empty broker.

    Returns the queues that are there with other arguments than ours, as after an upgrade of the broker: they are used
    as they are, and whoever asked should say so.
    """
    return [queue.name for queue in topology(names) if not _is_declared(connection, queue)]


def _is_declared(connection: kombu.Connection, queue: kombu.Queue) -> bool:
    channel: Any = connection.channel()
    try:
        queue(channel).declare()
    except connection.channel_errors as error:
        if getattr(error, "reply_code", None) != PRECONDITION_FAILED:
            raise
        is_declared = False
    else:
        is_declared = True
    channel.close()  # not of a broker that does not answer, which would be waited for once more
    return is_declared


def depths(settings: BrokerSettings, names: Iterable[str]) -> Mapping[str, QueueDepth]:
    """Ask the broker how much waits in each queue.

    Raises:
        BrokerUnreachableError: the broker does not answer within a few seconds.
    """
    connection = connect(settings)
    try:
        return {name: depth(connection, name) for name in names}
    except errors_of(connection) as error:
        raise BrokerUnreachableError(without_secrets(settings.url), _reason(error)) from error
    finally:
        hang_up(connection)


def connect(settings: BrokerSettings, *, confirm_publish: bool = False) -> kombu.Connection:
    """Open a connection of one's own to the broker; with `confirm_publish` each message waits for RabbitMQ's confirm.

    No wait on it lasts for ever, and no compressed body is unpacked.

    Raises:
        BrokerUnreachableError: the broker does not answer within a few seconds, or refuses the credentials.
    """
    refuse_compression()
    connection = kombu.Connection(
        settings.url,
        connect_timeout=CONNECT_TIMEOUT,
        heartbeat=0,
        transport_options=_transport_options(settings, confirm_publish=confirm_publish),
    )
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)
        _limit_waits(connection, ANSWER_SECONDS)
    except errors_of(connection) as error:
        connection.release()
        raise BrokerUnreachableError(connection.as_uri(), _reason(error)) from error
    return connection


def hang_up(connection: kombu.Connection) -> None:
    """Say goodbye to the broker, and close the socket whether it answers or not; nothing is raised."""
    with suppress(Exception):  # what is broken already may break in any way while it is closed
        # In this order: asking a connection that was lost for its socket would open it again.
        if connection.connected and socket_of(connection) is not None:
            _limit_waits(connection, CLOSE_SECONDS)
            amqp: Any = connection.connection
            amqp.close()
    with suppress(Exception):  # the same
        connection.collect(socket_timeout=CLOSE_SECONDS)


def socket_of(connection: kombu.Connection) -> Any:
    """Return the socket of an AMQP connection; other transports have several, or none."""
    return getattr(getattr(connection.connection, "transport", None), "sock", None)


def refuse_compression() -> None:
    """Make kombu refuse compressed bodies: nobody here sends any, and a small one can unpack to all memory."""
    for content_type in compression.encoders():
        compression.register(_refuse, _refuse, content_type)


def errors_of(connection: kombu.Connection) -> tuple[type[BaseException], ...]:
    """Return what a call over this connection may raise when the broker fails or refuses."""
    return (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)


def depth(connection: kombu.Connection, name: str) -> QueueDepth:
    """Ask how much waits in one queue; a queue that Redis keeps does not exist while it is empty."""
    channel: Any = connection.channel()
    try:
        answer = channel.queue_declare(queue=name, passive=True)
    except connection.channel_errors:
        found = QueueDepth(missing=True)
    else:
        found = QueueDepth(ready=answer.message_count, consumers=answer.consumer_count)
    channel.close()  # not of a broker that does not answer, which would be waited for once more
    return found


def _transport_options(settings: BrokerSettings, *, confirm_publish: bool) -> dict[str, object]:
    if not settings.url.startswith("amqp"):
        return {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": CONNECT_TIMEOUT}
    return {"confirm_publish": True} if confirm_publish else {}


def _limit_waits(connection: kombu.Connection, seconds: float) -> None:
    file = socket_of(connection)
    if file is not None:
        file.settimeout(seconds)


def _refuse(_: bytes) -> bytes:
    raise ValueError("compressed bodies are not read")


def _major_version(channel: Any) -> int:
    properties = getattr(getattr(channel, "connection", None), "server_properties", None) or {}
    return int(str(properties.get("version", "0")).split(".")[0] or 0)


def _reason(error: BaseException) -> str:
    text = str(error)
    if "ACCESS_REFUSED" in text or "403" in text:
        return "the credentials are refused"
    return text.rpartition("] ")[2] or type(error).__name__
