"""Celery's revoke, sent to every worker: on a connection that is opened for it, since steps are rarely cancelled.

Without `terminate`, which may hit the next task of the same process; what runs is told through Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.logs import get_logger
from procos.queues import connect, hang_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from procos.settings import BrokerSettings

log = get_logger(__name__)


class CeleryRevoker:
    """The `Revoker` protocol over Celery's remote control."""

    def __init__(self, app: Celery, broker: BrokerSettings) -> None:
        self._app, self._broker = app, broker

    def revoke(self, celery_ids: Sequence[str]) -> None:
        """Tell every worker not to start these tasks."""
        try:
            connection = connect(self._broker)
            try:
                self._app.control.revoke(list(celery_ids), connection=connection)
            finally:
                hang_up(connection)
        except Exception as error:  # noqa: BLE001  # any transport's error: the mark in Redis does the same
            log.warning("revoke.not_sent", count=len(celery_ids), reason=str(error) or type(error).__name__)
