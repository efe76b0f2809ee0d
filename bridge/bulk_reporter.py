"""Reports lists of outcomes, where the engine takes them in one call: one transaction for many steps.

What a list cannot do is left to `Reporter`, one by one: what the engine refuses, what the ledger cannot say now, and
the second outcome of one step. The rules are the same, and telling the engine twice burns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.ledger_values import Delayed, Ended, ReportClaim
from bridge.reporter import Verdict, note, verdict_of
from bridge.result_files import become_files
from bridge.settler import settle
from procos import metrics
from procos.domain.errors import EngineBusyError, EngineUnreachableError, LedgerUnreachableError, ProcosError
from procos.domain.outcome import BpmnError, Completion
from procos.engine.reports import Complete, Fail, Throw
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bridge.ledger import Ledger
    from bridge.next_try import NextTry
    from bridge.outcomes import Callback
    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.domain.outcome import Failure, Postponement
    from procos.engine.protocol import Engine
    from procos.engine.reports import Report

KINDS = {
    Complete.verb: metrics.Report.COMPLETE,
    Fail.verb: metrics.Report.FAILURE,
    Throw.verb: metrics.Report.BPMN_ERROR,
}

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """One report of a list: the place of its callback, and what it amounts to if the engine takes it."""

    place: int
    ref: DispatchRef
    report: Report
    verdict: Verdict
    retry: NextTry | None = None


@dataclass(slots=True)
class _Turn:
    """What is found out about one list."""

    verdicts: list[Verdict | None]
    tellings: list[_Telling] = field(default_factory=list)


class BulkReporter:
    """Reports lists, where they are wanted; may be shared by threads."""

    def __init__(self, engine: Engine, ledger: Ledger, reporter: Reporter, *, is_wanted: bool = True) -> None:
        self._engine, self._ledger, self._reporter = engine, ledger, reporter
        self._is_wanted = is_wanted

    @property
    def longest(self) -> int:
        """How many outcomes one list may have; 0 where none are wanted, or the engine takes none at this moment."""
        return self._engine.longest_list if self._is_wanted else 0

    def tell(self, callbacks: Sequence[Callback]) -> Sequence[Verdict | None]:
        """Bring outcomes to the engine, and leave the entries to the caller where the verdict is of `CLOSED_LATER`.

        None stands for an outcome that is to be reported alone.

        Raises:
            EngineUnreachableError, EngineBusyError: nothing is known of any; report them again.
        """
        turn = _Turn([None] * len(callbacks))
        alone = _seconds(callbacks)
        firsts = [(place, callback) for place, callback in enumerate(callbacks) if place not in alone]
        self._prepare_ends(turn, firsts)
        _note_verdicts(turn, self._told(turn.tellings))
        # Only now: a Redis that hangs holds up who claims. And what has ended stays so, whatever the engine says here.
        tried = self._tried(self._next_tries(turn, firsts), is_first=not turn.tellings)
        self._close_incidents(turn, [telling for telling in tried if telling.verdict is Verdict.INCIDENT])
        self._back_off(turn, [telling for telling in tried if telling.verdict is not Verdict.INCIDENT])
        for callback, verdict in zip(callbacks, turn.verdicts, strict=True):
            if verdict is not None:
                note(callback.ref, verdict)
        return turn.verdicts

    def _prepare_ends(self, turn: _Turn, callbacks: Iterable[tuple[int, Callback]]) -> None:
        for place, callback in callbacks:
            ref, outcome = callback.ref, callback.outcome
            report: Report
            match outcome:
                case Completion() | BpmnError() if become_files(outcome.variables):
                    continue  # their content is much for a list
                case Completion():
                    report = Complete(
                        external_task_id=ref.external_task_id, holder=ref.holder, variables=outcome.variables
                    )
                    verdict = Verdict.COMPLETED
                case BpmnError():
                    report = Throw(
                        external_task_id=ref.external_task_id,
                        holder=ref.holder,
                        code=outcome.code,
                        message=outcome.message,
                        variables=outcome.variables,
                    )
                    verdict = Verdict.BPMN_ERROR
                case _:
                    continue
            turn.tellings.append(_Telling(place=place, ref=ref, report=report, verdict=verdict))

    def _next_tries(self, turn: _Turn, callbacks: Iterable[tuple[int, Callback]]) -> list[_Telling]:
        """Claim the failures and postponements that still count; without the ledger they are not for a list."""
        tellings: list[_Telling] = []
        tries = [
            (place, c.ref, c.outcome) for place, c in callbacks if not isinstance(c.outcome, Completion | BpmnError)
        ]
        if not tries:
            return tellings
        try:
            claims = self._ledger.claim_reports([(ref, ref.queue) for _, ref, _ in tries])
        except LedgerUnreachableError:
            return tellings
        for (place, ref, outcome), claimed in zip(tries, claims, strict=True):
            if claimed.claim is ReportClaim.CLAIMED:
                retry = self._reporter.next_try(ref, outcome, claimed)
                tellings.append(_failing(place, ref, outcome, retry))
            else:
                metrics.redelivered(metrics.Redelivery.SUPERSEDED)
                turn.verdicts[place] = Verdict.SUPERSEDED
        return tellings

    def _tried(self, tellings: Sequence[_Telling], *, is_first: bool) -> list[_Telling]:
        """Tell the engine of tries; one that does not answer any more leaves them to be reported alone."""
        try:
            return self._told(tellings)
        except (EngineUnreachableError, EngineBusyError) as error:
            if is_first:
                raise
            log.info("outcomes.left_alone", count=len(tellings), reason=str(error))
            return []

    def _told(self, tellings: Sequence[_Telling]) -> list[_Telling]:
        """Tell the engine; returns what it took."""
        if not tellings:
            return []
        with metrics.reporting_list(len(tellings)):
            refusals = self._engine.report([telling.report for telling in tellings])
        for telling, refusal in zip(tellings, refusals, strict=True):
            metrics.reported(telling.ref.topic, KINDS[telling.report.verb], refusal)
        return [telling for telling, refusal in zip(tellings, refusals, strict=True) if refusal is None]

    def _close_incidents(self, turn: _Turn, tellings: Sequence[_Telling]) -> None:
        """Close the entries of steps that stay: one left open would swallow the next try, so it is reported alone."""
        if not tellings:
            return
        ends = [Ended(ref=t.ref, queue=t.ref.queue, outcome=t.verdict.value) for t in tellings]
        try:
            settle(self._ledger, ends)
        except LedgerUnreachableError as error:
            log.warning("outcome.not_closed", count=len(ends), reason=str(error))
            return
        _note_verdicts(turn, tellings)

    def _back_off(self, turn: _Turn, tellings: Sequence[_Telling]) -> None:
        retries = [(telling, telling.retry) for telling in tellings if telling.retry is not None]
        if not retries:
            return
        try:
            answers = self._ledger.back_off_all([
                Delayed(
                    ref=telling.ref,
                    queue=telling.ref.queue,
                    delay=retry.delay,
                    same_try=telling.verdict is Verdict.POSTPONED,
                )
                for telling, retry in retries
            ])  # fmt: skip
        except LedgerUnreachableError:
            return
        for (telling, retry), answer in zip(retries, answers, strict=True):
            turn.verdicts[telling.place] = telling.verdict
            if answer.was_open:
                metrics.settled(telling.ref.topic, telling.verdict.value)
            if answer.fetched_again:
                self._restore_delay(telling.ref, retry)

    def _restore_delay(self, ref: DispatchRef, retry: NextTry) -> None:
        """Report a failure again that a poller's lock has cut short."""
        try:
            self._reporter.fail(ref, retry, tries=1)
        except ProcosError as error:
            log.warning("outcome.delay_cut", external_task_id=ref.external_task_id, reason=str(error))


def _note_verdicts(turn: _Turn, tellings: Iterable[_Telling]) -> None:
    for telling in tellings:
        turn.verdicts[telling.place] = telling.verdict


def _failing(place: int, ref: DispatchRef, outcome: Failure | Postponement, retry: NextTry) -> _Telling:
    report = Fail(
        external_task_id=ref.external_task_id,
        holder=ref.holder,
        message=retry.message,
        details=retry.details,
        retries=retry.left,
        retry_in=retry.delay,
        variables=retry.variables,
    )
    return _Telling(place=place, ref=ref, report=report, verdict=verdict_of(outcome, retry), retry=retry)


def _seconds(callbacks: Sequence[Callback]) -> set[int]:
    """Return the places of callbacks about a step that another before them is about."""
    seen: set[str] = set()
    places = set()
    for place, callback in enumerate(callbacks):
        if callback.ref.external_task_id in seen:
            places.add(place)
        seen.add(callback.ref.external_task_id)
    return places
