"""Ends what callbacks do not: dispatches that nothing was heard of for a while are looked into, and come to a verdict.

Celery sends no callback for a task that is revoked, expired, ignored or unknown to its worker, and a callback or a
message can be lost. So a result that is stored is reported as its callback would have been; a dispatch that has no
result, no message in its queue and no worker is given up for lost and dispatched again, a few times; and one that
lasts longer than its route allows is an incident. A dispatch that was given up wrongly does no harm: whichever copy is
started later finds that another counts.

A result that cannot be reported now may be stored nowhere else. It shows itself in the ledger each time it is put
aside, as a run at work does; so its dispatch is not missed, however long it waits, and what waits for days holds up
nobody else's. Only what is missed while something is put aside stays so for one round of that, lest its own be in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from bridge.outcomes import stored_outcome
from procos.domain.errors import (
    BlobsUnreachableError,
    EngineBusyError,
    EngineMisconfiguredError,
    TaskGoneError,
    UnreachableError,
)
from procos.domain.outcome import Failure
from procos.logs import get_logger
from procos.queues import PARKED, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.ledger import Ledger
    from bridge.ledger_values import InFlight
    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTaskId, Topic
    from procos.domain.outcome import Outcome
    from procos.engine.protocol import Engine
    from procos.queues import QueueDepth
    from procos.routes import Route

TURN_SECONDS = 5.0
CALLBACK_PATIENCE = timedelta(seconds=10)
"""How long a callback may take after its task has ended before the stored result is reported instead of it."""
PARKED_PATIENCE = timedelta(seconds=45)
"""How long a result that is put aside may take to show itself: 15 s until it comes back, and a try to report it."""
FINAL = {"SUCCESS", "FAILURE", "REVOKED"}
"""What Celery stores for a task that will not go on."""
MOST_LOSSES = 3
PAUSES = (timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=60))
"""Between tries to report an outcome that the engine does not take."""
CONCERNS_ALL = (UnreachableError, EngineBusyError, EngineMisconfiguredError)
"""The blob store's errors apart, which concern the outcomes with files alone."""

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
        self._least_age = min([largest_age, *(route.largest_age for route in routes.values() if route.largest_age)])
        self._overdue: frozenset[str] = frozenset()
        self._missed: Mapping[ExternalTaskId, _Missed] = {}
        self._tries: dict[str, _Tries] = {}

    def turn(self) -> None:
        """Look into everything that was silent for long, or is too old."""
        patience = min(CALLBACK_PATIENCE, self._lost_after)
        missed_before, self._missed = self._missed, {}  # first: a turn that fails says nothing about anybody
        found = [
            entry
            for queue in self._queues
            for entry in self._ledger.list_silent(queue, silence=patience, age=self._least_age)
        ]
        silent = [entry for entry in found if entry.silence >= patience or self._is_too_old(entry)]
        self._tries = {e.ref.celery_id: t for e in silent if (t := self._tries.get(e.ref.celery_id))}
        rest = self._without_result(silent)
        for entry in rest:
            if self._is_too_old(entry):
                self._report(entry, partial(_too_old, entry), why="too_old")
        lost = [entry for entry in rest if entry.silence >= self._lost_after and not self._is_too_old(entry)]
        self._give_up(lost, missed_before)

    def _without_result(self, entries: Sequence[InFlight]) -> list[InFlight]:
        """Report what has had a stored result for a turn, while the engine took reports; returns what has none."""
        overdue, self._overdue = self._overdue, frozenset()
        metas = self._ledger.stored_results([entry.ref.celery_id for entry in entries])
        found = [(entry, meta) for entry, meta in zip(entries, metas, strict=True) if meta and _is_final(meta)]
        there = self._engine.which_exist([entry.ref.external_task_id for entry, _ in found]) if found else frozenset()
        for entry, meta in found:
            if entry.ref.celery_id in overdue and entry.ref.external_task_id in there:
                self._report(entry, partial(stored_outcome, meta), why="callback_missing")
        self._overdue = frozenset(entry.ref.celery_id for entry, _ in found)
        return [entry for entry, meta in zip(entries, metas, strict=True) if not meta or not _is_final(meta)]

    def _is_too_old(self, entry: InFlight) -> bool:
        route = self._routes.get(entry.ref.topic)
        return entry.age > ((route and route.largest_age) or self._largest_age)

    def _give_up(self, silent: Sequence[InFlight], missed_before: Mapping[ExternalTaskId, _Missed]) -> None:
        """Give up what is nowhere to be found, when it was so in the turn before too, and for long enough."""
        depths = self._depths() if silent else {}
        overtaken_at = {queue: self._ledger.overtaken_at(queue) for queue in {entry.queue for entry in silent}}
        patience = _milliseconds(PARKED_PATIENCE) if silent and depths[PARKED].ready else 0
        missed = {}
        for entry in [each for each in silent if self._is_nowhere(each, depths, overtaken_at[each.queue])]:
            before = missed_before.get(entry.ref.external_task_id)
            if before is None or before.last_sign != entry.last_sign:
                before = None
            elif entry.now - before.since >= patience:
                self._lose(entry)
            missed[entry.ref.external_task_id] = before or _Missed(last_sign=entry.last_sign, since=entry.now)
        self._missed = missed

    def _is_nowhere(self, entry: InFlight, depths: Mapping[str, QueueDepth], overtaken_at: int) -> bool:
        """Whether no queue can hold the dispatch, and its result does not wait in `callbacks`."""
        if depths[Queue.CALLBACKS].ready:
            return False
        # Queues are first in, first out: what was published long after it has been started already.
        was_overtaken = overtaken_at > entry.last_sign + _milliseconds(self._lost_after)
        return not depths[entry.queue].ready or was_overtaken

    def _lose(self, entry: InFlight) -> None:
        """Have a dispatch made anew, or end it in an incident; not while the engine is away, when results wait."""
        ref = entry.ref
        self._beat()
        try:
            if self._engine.find(ref.external_task_id).suspended:
                return
            if entry.losses + 1 >= MOST_LOSSES or not self._may_start_again(entry):
                self._report(entry, partial(_lost, entry), why="lost")
            elif losses := self._ledger.lose(entry):
                log.warning("dispatch.lost", losses=losses, state=entry.state.value, worker=entry.worker, **_named(ref))
                self._engine.unlock(ref.external_task_id)
        except TaskGoneError:  # the watcher sees to it
            log.info("dispatch.gone", **_named(ref))

    def _may_start_again(self, entry: InFlight) -> bool:
        route = self._routes.get(entry.ref.topic)
        return entry.starts < (route.max_starts if route else MOST_LOSSES)

    def _report(self, entry: InFlight, outcome: Callable[[], Outcome], *, why: str) -> None:
        """Report one outcome; an error about this step alone costs it patience, and the others nothing."""
        ref = entry.ref
        tries = self._tries.setdefault(ref.celery_id, _Tries())
        if entry.now < tries.not_before:
            return
        self._beat()
        try:
            self._reporter.report(ref, outcome(), tries=tries.made + 1)
        except Exception as error:  # whatever it is: one bad entry must not stop the others
            if isinstance(error, CONCERNS_ALL) and not isinstance(error, BlobsUnreachableError):
                raise
            self._tries[ref.celery_id] = tries.after(entry.now)
            log.warning("dispatch.not_reconciled", reason=str(error) or type(error).__name__, **_named(ref))
        else:
            log.warning("dispatch.reconciled", why=why, **_named(ref))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missed:
    """A dispatch that was nowhere, turn after turn: its last sign of life, and since when, by Redis's clock."""

    last_sign: int
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """How often an outcome was reported in vain, and when, by Redis's clock, it may be tried again."""

    made: int = 0
    not_before: int = 0

    def after(self, now: int) -> _Tries:
        """Return the same with one more."""
        pause = PAUSES[min(self.made, len(PAUSES) - 1)]
        return _Tries(made=self.made + 1, not_before=now + _milliseconds(pause))


def _named(ref: DispatchRef) -> dict[str, str]:
    return {"external_task_id": ref.external_task_id, "topic": ref.topic}


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
