"""Ends a worker that was asked to stop while all it still does is wait for a broker that is away.

A thread that cannot publish its outcome tries for ever, and nothing can interrupt it; whatever its message was is
delivered again. A run whose result is put to the blob store, or to Redis, is still at work. Processes are ended by
Celery itself. `tasks.task` calls this when the worker shuts down.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.heartbeat import Heartbeat

LOOK_SECONDS = 1.0
LOOKS = 3
"""So often in a row all must be publishing: that takes a moment even where the broker is well."""
FAILED = 1

log = get_logger(__name__)


def end_when_only_waiting(heartbeat: Heartbeat, *, after: float) -> None:
    """Watch this process from now on, and end it when it has but outcomes left that nobody takes."""
    pause = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(heartbeat, after, pause.wait, os._exit), name="ending", daemon=True
    )  # fmt: skip
    watch.start()


def _watch(
    heartbeat: Heartbeat, after: float, pause: Callable[[float], object], leave: Callable[[int], object]
) -> None:
    pause(after)
    in_a_row = 0
    while in_a_row < LOOKS:
        pause(LOOK_SECONDS)
        runs = heartbeat.running()
        in_a_row = in_a_row + 1 if runs and all(run.is_publishing for run in runs) else 0
    log.error("worker.ended_without_broker", unpublished=len(runs))
    leave(FAILED)
