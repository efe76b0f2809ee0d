"""A connection to the broker on which no wait lasts for ever.

The client library waits for the broker's answers without limit, and so for ever for a broker that is frozen, or that
blocks publishers (memory or disk alarm). Here every answer has its limit, and so has saying goodbye.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procos.logs import get_logger
from procos.queues import connect, declare

if TYPE_CHECKING:
    from collections.abc import Iterable

    import kombu

    from procos.settings import BrokerSettings

ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 1.0

log = get_logger(__name__)


def open_link(broker: BrokerSettings, queues: Iterable[str], *, confirm_publish: bool = False) -> kombu.Connection:
    """Connect, limit every wait, and declare the whole topology.

    Raises:
        BrokerUnreachableError: the broker does not answer within a few seconds, or refuses the credentials.
    """
    connection = connect(broker, confirm_publish=confirm_publish)
    try:
        _limit_waits(connection, ANSWER_SECONDS)
        otherwise = declare(connection, queues)
    except Exception:  # any error at all: the socket must not stay open
        close_link(connection)
        raise
    if otherwise:
        log.warning("topology.declared_otherwise", queues=list(otherwise))
    return connection


def close_link(connection: kombu.Connection) -> None:
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


def _limit_waits(connection: kombu.Connection, seconds: float) -> None:
    file = socket_of(connection)
    if file is not None:
        file.settimeout(seconds)
