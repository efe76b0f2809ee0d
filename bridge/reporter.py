"""Tells the engine how a dispatch ended: one call per outcome, and the meaning of every answer.

A completion counts whichever dispatch it comes from, as long as the step is open; a failure or postponement counts only
if no newer dispatch exists and it was not reported before. "Gone" means finished. A lock held under another of our
worker ids is reported under that one; a lock nobody holds is taken first.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from bridge.ledger_values import Ended, ReportClaim
from bridge.next_try import NextTry, next_try, policy_for
from bridge.result_files import ResultFiles
from bridge.settler import settle
from procos import metrics
from procos.domain.errors import (
    EngineConflictError,
    EngineRejectedError,
    LeaseLostError,
    LedgerUnreachableError,
    TaskGoneError,
    TaskSuspendedError,
    VariableError,
)
from procos.domain.outcome import BpmnError, Completion, Failure, Outcome, Postponement
from procos.engine.faults import COLUMN_SIZE, INTERNAL_ERROR
from procos.logs import get_logger
from procos.settings import BlobSettings

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from bridge.ledger import Ledger
    from bridge.ledger_values import Claimed
    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.engine.protocol import Engine
    from procos.routes import Route

CONFLICT_TRIES = 12
REFUSED_TRIES = 3
"""How often a result is offered to an engine that answers 500 for no reason we know, before it becomes an incident."""
LONGEST_CONFLICT_WAIT = 0.2
TAKE_OVER = timedelta(seconds=30)
LARGEST_AGE = timedelta(days=1)
NO_BLOBS = BlobSettings()
UNCAUGHT = "ENGINE-13033"
"""In what the engine says when no boundary event catches a BPMN error."""
WORDLESS = "the task failed; the engine refused the words it failed with, the bridge's log has them"

log = get_logger(__name__)


class Verdict(StrEnum):
    """What became of an outcome; the metrics and the steps people see use these words."""

    COMPLETED = "completed"
    BPMN_ERROR = "bpmn_error"
    RETRY = "retry"
    POSTPONED = "postponed"
    INCIDENT = "incident"
    GONE = "gone"
    SUPERSEDED = "superseded"


CLOSED_LATER = {Verdict.COMPLETED, Verdict.BPMN_ERROR, Verdict.GONE}


class Reporter:
    """Reports outcomes; may be shared by threads."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        routes: Mapping[Topic, Route],
        *,
        is_ours: Callable[[str], bool],
        largest_age: timedelta = LARGEST_AGE,
        blobs: BlobSettings = NO_BLOBS,
        stop: threading.Event,
    ) -> None:
        self._engine, self._ledger, self._routes, self._stop = engine, ledger, routes, stop
        self._is_of_a_replica, self._largest_age, self._files = is_ours, largest_age, ResultFiles(blobs, stop)

    def report(self, ref: DispatchRef, outcome: Outcome, *, tries: int = 1) -> Verdict:
        """Bring one outcome to the engine and close or back off the ledger's entry; `tries` counts this one.

        Raises:
            EngineUnreachableError, EngineBusyError, BlobsUnreachableError: nothing is known; report again.
            EngineDeniedError, EngineMisconfiguredError, TaskSuspendedError: report again later.
            LeaseLostError: a stranger holds the step; report again later, when its lock has run out.
            EngineRejectedError: the engine fails at the step after this one; report again later, with one more try.
            LedgerUnreachableError: a failure cannot be fenced now; report again later.
        """
        verdict = self.tell(ref, outcome, tries=tries)
        if verdict in CLOSED_LATER:
            self.close(ref, verdict)
        return verdict

    def tell(self, ref: DispatchRef, outcome: Outcome, *, tries: int = 1) -> Verdict:
        """Do the same, and leave the entry to the caller where the verdict is one of `CLOSED_LATER`."""
        verdict = self._told(ref, outcome, tries)
        if verdict is Verdict.INCIDENT:
            self.close(ref, verdict)
        note(ref, verdict)
        return verdict

    def _told(self, ref: DispatchRef, outcome: Outcome, tries: int) -> Verdict:
        try:
            match outcome:
                case Completion():
                    return self._complete(ref, outcome, tries)
                case BpmnError():
                    return self._bpmn_error(ref, outcome, tries)
                case Postponement() | Failure():
                    return self._try_again(ref, outcome, tries)
        except TaskGoneError:
            # Gone by our own hand, if the engine's answer to an earlier call was lost.
            has_completed = isinstance(outcome, Completion) and self._engine.has_completed(ref.external_task_id)
            return Verdict.COMPLETED if has_completed else Verdict.GONE

    def _complete(self, ref: DispatchRef, completion: Completion, tries: int) -> Verdict:
        try:
            variables = self._files.typed(completion.variables)
            with metrics.reporting(ref.topic, metrics.Report.COMPLETE):
                self._under_our_lock(ref, lambda holder: self._engine.complete(ref.external_task_id, holder, variables))
        except EngineRejectedError as error:
            if _may_pass_later(error) and tries < REFUSED_TRIES:
                raise
            return self._incident(ref, f"the engine refused the result: {error}", str(error), tries)
        except VariableError as error:
            return self._incident(ref, f"the result was refused: {error}", str(error), tries)
        return Verdict.COMPLETED

    def _bpmn_error(self, ref: DispatchRef, error: BpmnError, tries: int) -> Verdict:
        try:
            variables = self._files.typed(error.variables)
            with metrics.reporting(ref.topic, metrics.Report.BPMN_ERROR):
                self._under_our_lock(
                    ref,
                    lambda holder: self._engine.raise_bpmn_error(
                        ref.external_task_id, holder, code=error.code, message=error.message, variables=variables
                    ),
                )
        except (EngineRejectedError, VariableError) as refusal:
            what = "was not caught by the model" if UNCAUGHT in str(refusal) else f"was refused ({refusal})"
            text = f"BPMN error {error.code} {what}: {error.message}"
            return self._incident(ref, text, f"{text}\n\n{refusal}", tries)
        return Verdict.BPMN_ERROR

    def _try_again(self, ref: DispatchRef, outcome: Failure | Postponement, tries: int) -> Verdict:
        claimed = self._ledger.claim_report(ref, ref.queue)
        if claimed.claim is not ReportClaim.CLAIMED:  # by a newer dispatch, or by an earlier report of this one
            metrics.redelivered(metrics.Redelivery.SUPERSEDED)
            return Verdict.SUPERSEDED
        retry = self.next_try(ref, outcome, claimed)
        self.fail(ref, retry, tries)
        verdict = verdict_of(outcome, retry)
        if verdict is Verdict.INCIDENT:
            return verdict
        is_postponed = verdict is Verdict.POSTPONED
        backed_off = self._ledger.back_off(ref, ref.queue, retry.delay, same_try=is_postponed)
        if backed_off.was_open:
            metrics.settled(ref.topic, verdict.value)
        if backed_off.fetched_again:  # and so locked by a poller, which has cut the delay
            self.fail(ref, retry, tries)
        return verdict

    def next_try(self, ref: DispatchRef, outcome: Failure | Postponement, claimed: Claimed) -> NextTry:
        """Decide what follows a failed or postponed try, by the model's policy or the route's."""
        route = self._routes.get(ref.topic)
        largest_age = (route and route.largest_age) or self._largest_age
        return next_try(
            ref, outcome, claimed, policy=policy_for(ref, route), largest_age=largest_age,
            may_start_again=not route or route.max_starts > 1,
        )  # fmt: skip

    def _incident(self, ref: DispatchRef, message: str, details: str, tries: int) -> Verdict:
        """Give the step up for what the engine refuses, unless a newer dispatch of it is under way."""
        if self._ledger.claim_report(ref, ref.queue).claim is not ReportClaim.CLAIMED:
            metrics.redelivered(metrics.Redelivery.SUPERSEDED)
            return Verdict.SUPERSEDED
        self.fail(ref, NextTry(message=message, details=details, left=0), tries)
        return Verdict.INCIDENT

    def fail(self, ref: DispatchRef, retry: NextTry, tries: int) -> None:
        """Report a failed try; one the engine keeps refusing is reported without the words it may stumble over."""
        try:
            self._report_failure(ref, retry)
        except EngineRejectedError as refusal:
            if tries < REFUSED_TRIES:
                raise
            log.warning("outcome.words_refused", external_task_id=ref.external_task_id, reason=str(refusal))
            self._report_failure(ref, replace(retry, message=WORDLESS, details=WORDLESS, variables={}))
        except VariableError as refusal:
            text = f"{retry.message}; what it should have set was refused: {refusal}"
            self._report_failure(ref, replace(retry, message=text, variables={}))

    def _report_failure(self, ref: DispatchRef, retry: NextTry) -> None:
        with metrics.reporting(ref.topic, metrics.Report.FAILURE):
            self._under_our_lock(
                ref,
                lambda holder: self._engine.fail(
                    ref.external_task_id,
                    holder,
                    message=retry.message,
                    details=retry.details,
                    retries=retry.left,
                    retry_in=retry.delay,
                    variables=retry.variables,
                ),
            )

    def _under_our_lock(self, ref: DispatchRef, call: Callable[[str], None]) -> None:
        """Make the call as the holder the dispatch names, else as whoever of us the engine says holds the lock."""
        try:
            self._through_conflicts(lambda: call(ref.holder))
        except (LeaseLostError, TaskSuspendedError, EngineRejectedError) as refusal:
            if refusal.status >= INTERNAL_ERROR:  # not about the lock
                raise
            holder = self._holder_now(ref, refusal)
            self._through_conflicts(lambda: call(holder))

    def _holder_now(self, ref: DispatchRef, refusal: Exception) -> str:
        """Find whose worker id the engine takes the report from, taking the lock if nobody has it.

        Raises:
            TaskSuspendedError: the instance is suspended, so the engine takes no report at all.
            LeaseLostError: somebody else holds the lock.
        """
        task = self._engine.find(ref.external_task_id)
        if task.suspended:
            raise TaskSuspendedError(f"process instance {ref.process_instance_id} is suspended") from refusal
        if task.lease is None or not self._is_ours(task.lease.holder, ref):
            # The engine gives a lock that is free or has run out to anybody, and refuses one that has not.
            self._engine.lock(ref.external_task_id, ref.holder, TAKE_OVER)
            return ref.holder
        if task.lease.holder == ref.holder:
            if isinstance(refusal, LeaseLostError):  # nobody's a moment ago, and fetched again by us since
                return ref.holder
            raise refusal
        return task.lease.holder

    def _is_ours(self, holder: str, ref: DispatchRef) -> bool:
        return holder == ref.holder or self._is_of_a_replica(holder)

    def _through_conflicts(self, call: Callable[[], None]) -> None:
        """Repeat a call whose transaction collided with another: parallel branches meet at joins and variables."""
        for left in reversed(range(CONFLICT_TRIES)):
            try:
                return call()
            except EngineConflictError:
                if left == 0 or self._stop.is_set():
                    raise
                self._stop.wait(random.uniform(0.005, LONGEST_CONFLICT_WAIT))  # noqa: S311  # jitter
        return None

    def close(self, ref: DispatchRef, verdict: Verdict) -> None:
        """Close the entry of a step that has ended; where Redis is away the watcher does, when it finds the step gone.

        Raises:
            LedgerUnreachableError: the entry of an incident may be open still; report again later.
        """
        try:
            settle(self._ledger, [Ended(ref=ref, queue=ref.queue, outcome=verdict.value)])
        except LedgerUnreachableError as error:
            if verdict is Verdict.INCIDENT:  # the step stays, and an entry left open would swallow its next try
                raise
            log.warning("outcome.not_closed", external_task_id=ref.external_task_id, reason=str(error))


def verdict_of(outcome: Failure | Postponement, retry: NextTry) -> Verdict:
    """Return what it amounts to when the engine has taken a failed or postponed try."""
    if retry.left == 0:
        return Verdict.INCIDENT
    return Verdict.POSTPONED if isinstance(outcome, Postponement) else Verdict.RETRY


def note(ref: DispatchRef, verdict: Verdict) -> None:
    """Log what became of an outcome."""
    level = log.warning if verdict is Verdict.INCIDENT else log.info
    level(
        "outcome.reported",
        verdict=verdict.value,
        external_task_id=ref.external_task_id,
        topic=ref.topic,
        process_instance_id=ref.process_instance_id,
    )


def _may_pass_later(error: EngineRejectedError) -> bool:
    """Whether the refusal may be the engine's own trouble: a broken model answers 500, and so does a broken disk."""
    return error.status >= INTERNAL_ERROR and error.code != COLUMN_SIZE
