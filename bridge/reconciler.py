"""Ends what callbacks do not: dispatches that nothing was heard of for a while are looked into, and come to a verdict.

Celery sends no callback for a task that is revoked, expired, ignored or unknown to its worker, and a callback or a
message can be lost. So a result that is stored is reported as its callback would have been; a dispatch that has no
result, no message in its queue and no worker is given up for lost and dispatched again, a few times; and one that
lasts longer than its route allows is an incident. A dispatch that was given up wrongly does no harm: whichever copy is
started later finds that another counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bridge.outcomes import stored_outcome
from procos.domain.errors import EngineBusyError, ProcosError, TaskGoneError, UnreachableError
from procos.domain.outcome import Failure
from procos.logs import get_logger
from procos.queues import PARKED, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight
    from bridge.reporter import Reporter
    from procos.domain.external_task import ExternalTaskId, Topic
    from procos.domain.outcome import Outcome
    from procos.engine.protocol import Engine
    from procos.queues import QueueDepth
    from procos.routes import Route

TURN_SECONDS = 5.0
CALLBACK_PATIENCE = timedelta(seconds=10)
"""How long a callback may take after its task has ended before the stored result is reported instead of it."""
FINAL = {"SUCCESS", "FAILURE", "REVOKED"}
"""What Celery stores for a task that will not go on."""
MOST_LOSSES = 3

log = get_logger(__name__)


class Reconciler:
    """Looks into silent dispatches; belongs to one thread."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        reporter: Reporter,
        routes: Mapping[Topic, Route],
        *,
        queues: Iterable[str],
        depths: Callable[[], Mapping[str, QueueDepth]],
        lost_after: timedelta,
        largest_age: timedelta,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._ledger, self._reporter, self._routes = engine, ledger, reporter, routes
        self._queues, self._depths = tuple(queues), depths
        self._lost_after, self._largest_age, self._beat = lost_after, largest_age, beat
        self._overdue: frozenset[str] = frozenset()
        self._missed: Mapping[ExternalTaskId, int] = {}

    def turn(self) -> None:
        """Look into everything that was silent for long, or is too old."""
        patience = min(CALLBACK_PATIENCE, self._lost_after)
        entries = [entry for queue in self._queues for entry in self._ledger.list_in_flight(queue)]
        silent = [entry for entry in entries if entry.silence >= patience or self._is_too_old(entry)]
        rest = self._without_result(silent)
        for entry in rest:
            if self._is_too_old(entry):
                self._report(entry, _too_old(entry), why="too_old")
        self._give_up([entry for entry in rest if entry.silence >= self._lost_after and not self._is_too_old(entry)])

    def _without_result(self, entries: Sequence[InFlight]) -> list[InFlight]:
        """Report what has had a stored result for a turn, while the engine took reports; returns what has none."""
        overdue, self._overdue = self._overdue, frozenset()
        metas = self._ledger.stored_results([entry.ref.celery_id for entry in entries])
        found = [(entry, meta) for entry, meta in zip(entries, metas, strict=True) if meta and _is_final(meta)]
        there = self._engine.which_exist([entry.ref.external_task_id for entry, _ in found]) if found else frozenset()
        for entry, meta in found:
            if entry.ref.celery_id in overdue and entry.ref.external_task_id in there:
                self._report(entry, stored_outcome(meta), why="callback_missing")
        self._overdue = frozenset(entry.ref.celery_id for entry, _ in found)
        return [entry for entry, meta in zip(entries, metas, strict=True) if not meta or not _is_final(meta)]

    def _is_too_old(self, entry: InFlight) -> bool:
        route = self._routes.get(entry.ref.topic)
        return entry.age > ((route and route.largest_age) or self._largest_age)

    def _give_up(self, silent: Sequence[InFlight]) -> None:
        """Give up what is nowhere to be found, when it was so in the turn before too."""
        depths = self._depths() if silent else {}
        missed = [entry for entry in silent if self._is_nowhere(entry, depths)]
        for entry in missed:
            if self._missed.get(entry.ref.external_task_id) == entry.last_sign:
                try:
                    self._lose(entry)
                except TaskGoneError as error:  # the watcher sees to it; the others are to be looked into all the same
                    log.info("dispatch.gone", external_task_id=entry.ref.external_task_id, reason=str(error))
        self._missed = {entry.ref.external_task_id: entry.last_sign for entry in missed}

    def _is_nowhere(self, entry: InFlight, depths: Mapping[str, QueueDepth]) -> bool:
        """Whether no queue can hold the dispatch or its result."""
        if depths[Queue.CALLBACKS].ready:
            return False
        route = self._routes.get(entry.ref.topic)
        is_stored = route is not None and route.store_result and not entry.is_rebuilt
        if depths[PARKED].ready and not is_stored:
            return False
        # Queues are first in, first out: what was published long after it has been started already.
        was_overtaken = self._ledger.overtaken_at(entry.queue) > entry.last_sign + _milliseconds(self._lost_after)
        return not depths[entry.queue].ready or was_overtaken

    def _lose(self, entry: InFlight) -> None:
        ref = entry.ref
        self._engine.find(ref.external_task_id)  # while the engine is away, results wait, and nothing is lost
        if entry.losses + 1 >= MOST_LOSSES or not self._may_start_again(entry):
            self._report(entry, _lost(entry), why="lost")
        elif losses := self._ledger.lose(entry):
            log.warning(
                "dispatch.lost",
                external_task_id=ref.external_task_id,
                topic=ref.topic,
                state=entry.state.value,
                worker=entry.worker,
                losses=losses,
            )
            self._engine.unlock(ref.external_task_id)

    def _may_start_again(self, entry: InFlight) -> bool:
        route = self._routes.get(entry.ref.topic)
        return entry.starts < (route.max_starts if route else MOST_LOSSES)

    def _report(self, entry: InFlight, outcome: Outcome, *, why: str) -> None:
        ref = entry.ref
        self._beat()
        try:
            self._reporter.report(ref, outcome)
        except (UnreachableError, EngineBusyError):
            raise
        except ProcosError as error:  # about this step alone; the next turn tries again
            log.warning("dispatch.not_reconciled", external_task_id=ref.external_task_id, reason=str(error))
        else:
            log.warning("dispatch.reconciled", external_task_id=ref.external_task_id, topic=ref.topic, why=why)


def _is_final(meta: Mapping[str, Any]) -> bool:
    return meta.get("status") in FINAL


def _too_old(entry: InFlight) -> Failure:
    seconds = round(entry.age.total_seconds())
    worker = f", last seen on worker {entry.worker}" if entry.worker else ""
    text = f"no outcome within {timedelta(seconds=seconds)}: the task is {entry.state}{worker}"
    return Failure(message=text, code="TOO_OLD", permanent=True)


def _lost(entry: InFlight) -> Failure:
    worker = f", last on worker {entry.worker}" if entry.worker else ""
    times = "once" if not entry.losses else f"{entry.losses + 1} times"
    text = f"dispatched {times}, started {entry.starts} times: message or worker disappeared without a result{worker}"
    return Failure(message=text, code="LOST", permanent=True)


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
