"""The threads that report results: one message at a time, or in lists where the engine takes lists.

A result that comes alone is reported at once. Lists form by themselves: while `MOST_LISTS` of them are on their way,
what arrives forms the next. What a list leaves open is then reported alone, so that it holds up nothing. Failures have
lists of their own: what happened stands in Redis, and completions do not wait for Redis.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.disposals import Decision, Disposal, decision_on
from bridge.ledger_values import Ended
from bridge.outcomes import read_callback
from bridge.parking import times_parked
from bridge.reporter import CLOSED_LATER, Verdict
from bridge.settler import Settler
from procos.domain.errors import EngineBusyError, EngineUnreachableError, LedgerUnreachableError, ProcosError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.bulk_reporter import BulkReporter
    from bridge.ledger import Ledger
    from bridge.outcomes import Callback
    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef

MOST_LISTS = 4
LARGEST_LIST = 1024 * 1024
"""Bytes of the messages in a list; one that is larger goes alone."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """A message that comes back from a completer, with the generation of the connection it belongs to."""

    generation: int
    message: Any
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDone:
    """A list has come back, so that another may go."""


class Completers:
    """Takes messages from one thread, and hands each back with what is to become of it, from others."""

    def __init__(
        self,
        reporter: Reporter,
        bulk: BulkReporter,
        ledger: Ledger,
        *,
        threads: int,
        hand_back: Callable[[Sequence[Handled | ListDone]], None],
    ) -> None:
        self._reporter, self._bulk, self._ledger, self._hand_back = reporter, bulk, ledger, hand_back
        self._singles = ThreadPoolExecutor(threads, thread_name_prefix="completer")
        self._pool = ThreadPoolExecutor(MOST_LISTS, thread_name_prefix="lists")
        self._settler = Settler(ledger)
        self._waiting: deque[tuple[int, Any]] = deque()
        self._lists = 0

    def take(self, generation: int, message: Any) -> None:
        """Accept a message; it goes with the next `send_off`."""
        self._waiting.append((generation, message))

    def forget(self) -> None:
        """Drop what waits: the connection it came by is closed, and the broker delivers it again."""
        self._waiting.clear()

    def list_done(self) -> None:
        """Note that a list has come back."""
        self._lists -= 1

    def send_off(self) -> None:
        """Hand what waits to the threads, as far as lists may go."""
        while self._waiting:
            longest = self._bulk.longest
            if longest <= 1:
                generation, message = self._waiting.popleft()
                self._singles.submit(self._alone, generation, message)
            elif self._lists < MOST_LISTS:
                self._lists += 1
                self._pool.submit(self._together, self._next_list(longest))
            else:
                return

    def shut_down(self) -> None:
        """Let nothing more begin, and settle what has ended; reports under way are not waited for."""
        for pool in (self._pool, self._singles):
            pool.shutdown(wait=False, cancel_futures=True)
        self._settler.shut_down()

    def _next_list(self, longest: int) -> list[tuple[int, Any]]:
        """Take from what waits the first, and those of its kind that come next."""
        kind, size = _kind(self._waiting[0]), 0
        chosen: list[tuple[int, Any]] = []
        left: deque[tuple[int, Any]] = deque()
        while self._waiting and len(chosen) < longest:
            each = self._waiting.popleft()
            if _kind(each) != kind:
                left.append(each)
            elif chosen and size + _size(each) > LARGEST_LIST:
                left.append(each)
                break
            else:
                chosen.append(each)
                size += _size(each)
        self._waiting.extendleft(reversed(left))
        return chosen

    def _alone(self, generation: int, message: Any) -> None:
        self._hand_back([Handled(generation=generation, message=message, decision=self.decide(message))])

    def _together(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Report a list; what it leaves open goes to other threads, one by one."""
        decisions: Sequence[Decision | None]
        try:
            decisions = self._decide_all([message for _, message in batch])
        except (EngineUnreachableError, EngineBusyError) as error:
            decisions = [decision_on(error)] * len(batch)
        except Exception:  # one of them is more than we foresaw; the others have nothing to do with it
            log.exception("callbacks.list_failed")
            decisions = [None] * len(batch)
        for (generation, message), decision in zip(batch, decisions, strict=True):
            if decision is None:
                self._singles.submit(self._alone, generation, message)
        self._hand_back([
            ListDone(),
            *(
                Handled(generation=generation, message=message, decision=decision)
                for (generation, message), decision in zip(batch, decisions, strict=True)
                if decision is not None
            ),
        ])  # fmt: skip

    def _decide_all(self, messages: Sequence[Any]) -> Sequence[Decision | None]:
        """Decide about each message of a list; None stands for one that is to be reported alone."""
        read = self._read_all(messages)
        callbacks = [callback for callback in read if callback is not None]
        verdicts = self._bulk.tell(callbacks) if callbacks else ()
        for callback, verdict in zip(callbacks, verdicts, strict=True):
            self._settle_later(callback.ref, verdict)
        told = iter(verdicts)
        found = [None if callback is None else next(told) for callback in read]
        return [None if verdict is None else _decision(verdict) for verdict in found]

    def _read_all(self, messages: Sequence[Any]) -> list[Callback | None]:
        """Read messages for a list; what was parked before, or cannot be read, does not go into one."""
        read: list[Callback | None] = []
        is_redis_away = False
        for message in messages:
            callback = None
            if not times_parked(message) and not is_redis_away:
                try:
                    callback = read_callback(message, self._ledger)
                except LedgerUnreachableError:
                    is_redis_away = True  # which each of the others would wait for too
                except ProcosError:
                    pass
            read.append(callback)
        return read

    def decide(self, message: Any) -> Decision:
        """Report one message, and decide what is to become of it."""
        callback: Callback | None = None
        try:
            callback = read_callback(message, self._ledger)
            verdict = self._reporter.tell(callback.ref, callback.outcome, tries=1 + times_parked(message))
        except ProcosError as error:
            return self._put_off(callback, decision_on(error))
        except Exception as error:  # the message must come back whatever happens, else its slot is lost
            log.exception("callbacks.report_failed")
            return self._put_off(callback, decision_on(error))
        self._settle_later(callback.ref, verdict)
        return _decision(verdict)

    def _settle_later(self, ref: DispatchRef, verdict: Verdict | None) -> None:
        if verdict in CLOSED_LATER:
            self._settler.add(Ended(ref=ref, queue=ref.queue, outcome=verdict.value))

    def _put_off(self, callback: Callback | None, decision: Decision) -> Decision:
        """Let a dispatch whose result is put aside show itself: it may be stored nowhere else."""
        if callback is not None and decision.disposal is Disposal.PARK:
            self._settler.note_parked(callback.ref)
        return decision


def _kind(waiting: tuple[int, Any]) -> object:
    return waiting[1].headers.get("task")


def _size(waiting: tuple[int, Any]) -> int:
    return len(waiting[1].body or b"")


def _decision(verdict: Verdict) -> Decision:
    # What was superseded is known from the ledger alone.
    return Decision(disposal=Disposal.ACKNOWLEDGE, engine_answered=verdict is not Verdict.SUPERSEDED)
