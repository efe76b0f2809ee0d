"""Turns dead-lettered tasks into incidents with a reason, and puts the messages on the shelf.

A task that was delivered too often, or that a worker refused, is moved to `<queue>.dead`, by RabbitMQ, or by the worker
where Redis is the broker. Once a second each of these is looked into, one message at a time: its dispatch is reported,
and only after the verdict it goes to the shelf, if a person has to act, or is dropped, if the step needs nobody. What
cannot be reported now goes to the tail of its queue, and the next attempt waits. A crash at any point leaves a message
in one of the queues, twice at worst.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bridge.deaths import CAUSE, cause_of, dispatch_in, outcome_of_death
from bridge.link import open_link
from bridge.moving import TIMES_PARKED, headers_kept, publish_again, take
from bridge.parking import times_parked
from bridge.reporter import Verdict
from bridge.shelf import REASON, shelf_headers, written
from procos import metrics
from procos.domain.errors import (
    BlobsUnreachableError,
    DispatchError,
    NewerVersionError,
    ProcosError,
    UnreachableError,
)
from procos.domain.outcome import Failure
from procos.logs import get_logger
from procos.queues import DEAD_LETTERS, SHELF, Queue, dead, hang_up

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import kombu

    from bridge.ledger import Ledger
    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.domain.outcome import Outcome
    from procos.settings import BrokerSettings

TURN_SECONDS = 1.0
PAUSE_SECONDS = 15.0
RECONNECT_SECONDS = 5.0
MOST_PER_TURN = 50
"""Messages of one queue that are looked at before the other queues, and a stop, have their turn."""

log = get_logger(__name__)


class _Fate(StrEnum):
    SHELVED = "shelved"
    DROPPED = "dropped"
    PUT_OFF = "put_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What is to become of one message, and why."""

    fate: _Fate
    reason: str
    ref: DispatchRef | None = None
    logged: str = ""
    """What the log may have: a task's own words can hold the contents of variables."""
    concerns_all: bool = False
    """Whether the messages behind it would fare no better now."""


class DeadLetters:
    """The consumer of dead-lettered tasks; `run` is its thread, which owns the connection."""

    def __init__(self, reporter: Reporter, ledger: Ledger, broker: BrokerSettings, *, queues: Iterable[str]) -> None:
        self._reporter, self._ledger, self._broker = reporter, ledger, broker
        self._queues = tuple(sorted(set(queues) - {Queue.CALLBACKS}))
        self._beat: Callable[[], None] = lambda: None
        self._connection: kombu.Connection | None = None
        self._channel: Any = None

    def run(self, stop: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
        """Look into the dead letters until stopped; nothing else ends it."""
        self._beat = beat
        while not stop.is_set():
            beat()
            stop.wait(self._patience_after_turn())
        self.close()

    def turn(self) -> bool:
        """Look into every queue of dead letters once; returns whether something had to be put off."""
        channel = self._open_channel()
        put_off = [queue for queue in self._queues if self._looked_into(channel, queue)]
        return bool(put_off)

    def close(self) -> None:
        """Close the connection; the next turn opens another, and declares the queues again."""
        if self._connection is not None:
            hang_up(self._connection)
            self._connection = self._channel = None

    def _patience_after_turn(self) -> float:
        try:
            return PAUSE_SECONDS if self.turn() else TURN_SECONDS
        except Exception as error:  # noqa: BLE001  # any transport's error: what is unacknowledged comes again
            log.warning("dead_letters.connection_lost", reason=str(error) or type(error).__name__)
            self.close()
            return RECONNECT_SECONDS

    def _open_channel(self) -> Any:
        if self._connection is None:
            self._connection = open_link(self._broker, self._queues, confirm_publish=True)
            self._channel = self._connection.channel()
        return self._channel

    def _looked_into(self, channel: Any, queue: str) -> bool:
        """Settle what waits here; returns whether something had to be put off."""
        was_put_off = False
        for message in _waiting(channel, dead(queue)):
            self._beat()
            finding = self._examine(message, queue)
            self._dispose(channel, message, queue, finding)
            was_put_off |= finding.fate is _Fate.PUT_OFF
            if finding.concerns_all:
                break
        return was_put_off

    def _examine(self, message: Any, queue: str) -> _Finding:
        """Report one message, and say what is to become of it."""
        try:
            ref = dispatch_in(message)
            outcome = outcome_of_death(message, queue, self._ledger.stored_result(ref.celery_id))
            verdict = self._reporter.report(ref, outcome, tries=1 + times_parked(message))
        except UnreachableError as error:
            concerns_all = not isinstance(error, BlobsUnreachableError)
            return _Finding(fate=_Fate.PUT_OFF, reason=str(error), concerns_all=concerns_all)
        except DispatchError as error:
            # A bridge of the newer version will read what is of one.
            fate = _Fate.PUT_OFF if isinstance(error, NewerVersionError) else _Fate.SHELVED
            return _Finding(fate=fate, reason=str(error))
        except ProcosError as error:
            return _Finding(fate=_Fate.PUT_OFF, reason=str(error))
        except Exception as error:  # a defect of ours, which a later version may not have
            log.exception("dead_letter.report_failed")
            return _Finding(fate=_Fate.PUT_OFF, reason=f"{type(error).__name__}: {error}")
        # A step that ended or goes on needs its dead letter no more; an incident needs a person.
        fate = _Fate.SHELVED if verdict is Verdict.INCIDENT else _Fate.DROPPED
        reason = outcome.message if isinstance(outcome, Failure) else f"the outcome ended as {verdict.value}"
        return _Finding(fate=fate, reason=reason, ref=ref, logged=_logged(outcome, verdict))

    def _dispose(self, channel: Any, message: Any, queue: str, finding: _Finding) -> None:
        level = log.info if finding.fate is _Fate.DROPPED else log.warning
        level(
            "dead_letter.settled",
            fate=finding.fate.value,
            reason=finding.logged or finding.reason,
            queue=queue,
            celery_id=message.headers.get("id"),
        )
        match finding.fate:
            case _Fate.SHELVED:
                moment, reason, ref = datetime.now(UTC), finding.reason, finding.ref
                headers = shelf_headers(message, origin=queue, reason=reason, moment=moment, ref=ref)
                self._publish(channel, message, SHELF, headers)
            case _Fate.PUT_OFF:
                count, reason = times_parked(message) + 1, written(finding.reason)
                noted = {CAUSE: cause_of(message, queue), TIMES_PARKED: count, REASON: reason}
                self._publish(channel, message, dead(queue), {**headers_kept(message), **noted})
            case _Fate.DROPPED:
                pass
        message.ack()
        if finding.fate is not _Fate.PUT_OFF:
            readable = finding.ref is not None
            metrics.dead_lettered(queue, cause_of(message, queue) if readable else metrics.DeadLetter.UNREADABLE)

    def _publish(self, channel: Any, message: Any, target: str, headers: Mapping[str, object]) -> None:
        publish_again(
            channel,
            message,
            exchange=DEAD_LETTERS,
            routing_key=target,
            headers=headers,
            confirm_timeout=self._broker.confirm_timeout,
        )


def _waiting(channel: Any, inbox: str) -> Iterator[Any]:
    """Yield what is there now, oldest first; what is put off meanwhile is for the next turn."""
    message = take(channel, inbox)
    if message is None:
        return
    # Redis does not tell how many are left, so there it is one at a time.
    behind = min(int(message.delivery_info.get("message_count") or 0), MOST_PER_TURN - 1)
    yield message
    for _ in range(behind):
        if (message := take(channel, inbox)) is None:
            return
        yield message


def _logged(outcome: Outcome, verdict: Verdict) -> str:
    return outcome.code if verdict is Verdict.INCIDENT and isinstance(outcome, Failure) else verdict.value
