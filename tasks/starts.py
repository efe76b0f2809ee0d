"""Tells the ledger that a dispatch was started, and learns whether it should be.

A dispatch that was superseded, or that ended before, is not run, and one that was started too often is given up: a
task that kills its process would else come back for ever. Without Redis a task runs uncounted, and the queue's
delivery limit is the stop.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import redis

from procos import ledger_keys as keys
from procos.logs import get_logger

if TYPE_CHECKING:
    from procos.domain.dispatch import DispatchRef
    from procos.settings import RedisSettings

TIMEOUT_SECONDS = 1.0
SUPERSEDED = -1

log = get_logger(__name__)
_lock = threading.Lock()


class Start(StrEnum):
    """Whether to run a dispatch."""

    RUN = "run"
    SUPERSEDED = "superseded"
    TOO_OFTEN = "too_often"


def note_start(ref: DispatchRef, worker: str, *, max_starts: int, settings: RedisSettings) -> Start:
    """Write that this worker starts the dispatch, and say whether it should go on."""
    try:
        started = _script(settings.url)(
            keys=[keys.entry(ref.external_task_id), keys.RESULT_PREFIX + ref.celery_id], args=[ref.token, worker]
        )
    except redis.RedisError as error:
        log.warning("start.not_counted", external_task_id=ref.external_task_id, reason=str(error))
        return Start.RUN
    if started == SUPERSEDED:
        return Start.SUPERSEDED
    return Start.TOO_OFTEN if started > max_starts else Start.RUN


def _script(url: str) -> redis.commands.core.Script:
    with _lock:
        return _client_script(url)


@cache
def _client_script(url: str) -> redis.commands.core.Script:
    client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)
    return client.register_script(keys.STARTED)
