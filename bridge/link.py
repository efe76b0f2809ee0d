"""The bridge's connections to the broker: each of them finds the whole topology there, or makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.logs import get_logger
from procos.queues import connect, declare, hang_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    import kombu

    from procos.settings import BrokerSettings

log = get_logger(__name__)


def open_link(broker: BrokerSettings, queues: Iterable[str], *, confirm_publish: bool = False) -> kombu.Connection:
    """Connect, and declare every queue; every wait on the connection has its limit.

    Raises:
        BrokerUnreachableError: the broker does not answer within a few seconds, or refuses the credentials.
    """
    connection = connect(broker, confirm_publish=confirm_publish)
    try:
        otherwise = declare(connection, queues)
    except Exception:  # any error at all: the socket must not stay open
        hang_up(connection)
        raise
    if otherwise:
        log.warning("topology.declared_otherwise", queues=list(otherwise))
    return connection
