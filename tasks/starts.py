"""Tells the ledger that a dispatch was started, and learns whether it should be.

A dispatch that was cancelled, superseded, or that ended before, is not run, and one that was started too often is given
up: a task that kills its process would else come back for ever. Without Redis a task runs uncounted, and the queue's
delivery limit is the stop.

A copy of a dispatch may arrive while another run of it was alive a moment ago: the broker delivers again what a lost
connection, or a killed worker, had not acknowledged. Only time can tell the two apart: the first run goes on to leave a
heartbeat each second (`tasks.heartbeat`), the second does not, and its copy takes over.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import redis

from procos import ledger_keys as keys
from procos.domain.outcome import Failure
from procos.ledger_scripts import STARTED
from procos.logs import get_logger
from tasks.store import own_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procos.own_connections import Script
    from procos.settings import RedisSettings
    from tasks.runs import Run

FRESH_MILLISECONDS = 10_000
"""A run that showed itself within this time may be alive; a heartbeat is due each second."""
LOOK_SECONDS = 0.5
LOOKS = 8
NOT_WANTED = -1
ANOTHER_RUNS = -2

log = get_logger(__name__)


class Start(StrEnum):
    """Whether to run a dispatch."""

    RUN = "run"
    NOT_WANTED = "not_wanted"
    RUNS_ELSEWHERE = "runs_elsewhere"
    TOO_OFTEN = "too_often"


def note_start(
    run: Run, *, max_starts: int, settings: RedisSettings, pause: Callable[[float], object] | None = None
) -> Start:
    """Write that this worker starts the dispatch, and say whether it should go on; the run is told the count."""
    try:
        starts = _answer(run, settings.url, pause or threading.Event().wait)
    except redis.RedisError as error:
        log.warning("start.not_counted", external_task_id=run.ref.external_task_id, reason=str(error))
        return Start.RUN
    match starts:
        case int() if starts == NOT_WANTED:
            return Start.NOT_WANTED
        case int() if starts == ANOTHER_RUNS:
            return Start.RUNS_ELSEWHERE
    run.starts = starts or None
    return Start.TOO_OFTEN if starts > max_starts else Start.RUN


def too_often(max_starts: int, *, worker: str) -> Failure:
    """Say that a dispatch is given up; one that may be started once may have done then what must not be done twice."""
    text = f"started {max_starts} times without an end: the task kills its worker, or the worker was killed"
    if max_starts > 1:
        return Failure(message=text, code="STARTED_TOO_OFTEN", permanent=True, worker=worker)
    text = "an earlier run of this step was cut off, and may have done its work"
    cure = "look, then `procos retry` to do it, or complete the step"
    return Failure(message=f"{text}; {cure}", code="OUTCOME_UNKNOWN", permanent=True, worker=worker)


def _answer(run: Run, url: str, pause: Callable[[float], object]) -> int:
    """Ask the ledger; where another run was alive a moment ago, ask on until it shows itself, or has not for long."""
    answer = _ask(run, url)
    if answer[0] != ANOTHER_RUNS:
        return answer[0]
    log.info("start.awaited", external_task_id=run.ref.external_task_id)
    for _ in range(LOOKS):
        pause(LOOK_SECONDS)
        later = _ask(run, url)
        if later != answer:
            return later[0]
    return _ask(run, url, dead_since=answer[1])[0]


def _ask(run: Run, url: str, *, dead_since: int | str = "") -> Sequence[int]:
    ref = run.ref
    answer = _script(url)(
        keys=[
            keys.entry(ref.external_task_id),
            keys.RESULT_PREFIX + ref.celery_id,
            keys.steps(ref.process_instance_id),
            keys.cancelled(ref.external_task_id),
            keys.OVERTAKEN,
            keys.STARTS,
            keys.ended(ref.external_task_id),
        ],
        args=[ref.external_task_id, ref.token, run.worker, run.id, FRESH_MILLISECONDS, dead_since],
    )
    return [int(number) for number in answer]


@cache
def _script(url: str) -> Script:
    return own_connections(url).script(STARTED)
