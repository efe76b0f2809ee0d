"""Consumes `callbacks`, the outbox of results: a message is acknowledged only after the engine's verdict.

One thread owns the connection (channels are not thread-safe); `Completers` report, and hand each message back with what
`disposals` decides; one mover thread parks and buries, on a connection of its own. While the engine is down
consuming is cancelled and results wait in RabbitMQ; what cannot be reported now though the engine lives is parked, so
that it stalls nobody; what cannot be read goes to the dead letters.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import kombu

from bridge.acknowledgements import PATIENCE_SECONDS, Acknowledgements
from bridge.completers import MOST_LISTS, Completers, Handled, ListDone
from bridge.disposals import Disposal
from bridge.link import open_link
from bridge.parking import Parking
from bridge.wakeup import Wakeup
from procos import metrics
from procos.logs import get_logger
from procos.queues import callback_queue, hang_up

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from bridge.bulk_reporter import BulkReporter
    from bridge.ledger import Ledger
    from bridge.reporter import Reporter
    from procos.settings import BrokerSettings

EACH, EACH_LIST = 8, 100
"""Messages on their way to the bridge for each completer, and for each list of up to 50."""
ENOUGH = 4
"""One part in so many of the messages on their way wakes the loop when it is done; less waits for its next turn."""
PROBE_SECONDS = 1.0
IDLE_SECONDS = 5.0
RECONNECT_SECONDS = 1.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """A message that comes back from the mover."""

    handled: Handled
    succeeded: bool


class Callbacks:
    """The consumer of results; `run` is its thread."""

    def __init__(
        self,
        reporter: Reporter,
        bulk: BulkReporter,
        ledger: Ledger,
        broker: BrokerSettings,
        *,
        completers: int,
        queues: Iterable[str],
    ) -> None:
        self._broker, self._queues = broker, tuple(queues)
        self._bulk, self._each = bulk, EACH * completers
        self._completers = Completers(reporter, bulk, ledger, threads=completers, hand_back=self._hand_back)
        self._mover = ThreadPoolExecutor(1, thread_name_prefix="mover")
        self._parking = Parking(broker, self._queues)
        self._returned: SimpleQueue[Handled | ListDone | _Moved] = SimpleQueue()
        self._wakeup = Wakeup()
        self._is_quiet = True
        """Whether nothing came back in the last turn, so that the next may be far away."""
        self._generation = 0
        self._begin_generation()

    def run(
        self, stop: threading.Event, *, drain_seconds: float = 0.0, beat: Callable[[], None] = lambda: None
    ) -> None:
        """Consume until stopped, then give reports under way `drain_seconds` to finish."""
        while not stop.is_set():
            beat()
            try:
                self._consume(stop, drain_seconds, beat)
            except Exception as error:  # noqa: BLE001  # any transport's error: unacknowledged results come again
                log.warning("callbacks.connection_lost", reason=str(error) or type(error).__name__)
                stop.wait(RECONNECT_SECONDS)
        self._completers.shut_down()
        self._mover.shutdown(cancel_futures=True)  # one move may be under way, and each of its waits has a limit
        self._parking.close()

    def wake(self) -> None:
        """Let the loop look at its stop event now."""
        self._wakeup.set()

    def _consume(self, stop: threading.Event, drain_seconds: float, beat: Callable[[], None]) -> None:
        connection = open_link(self._broker, self._queues)
        try:
            consumer = kombu.Consumer(
                connection.channel(),
                [callback_queue()],
                on_message=self._receive,
                on_decode_error=self._receive_undecodable,
                accept=["json"],
                prefetch_count=self._prefetch(),
                auto_declare=False,
            )
            consumer.consume()
            while not stop.is_set():
                beat()
                self._settle(consumer)  # first: to consume may have brought messages already
                self._wakeup.wait(connection, self._patience())
            self._settle(consumer)
            consumer.cancel()
            self._drain(connection, consumer, drain_seconds)
            self._acknowledgements.send(at_once=True)
        finally:
            hang_up(connection)
            self._begin_generation()

    def _prefetch(self) -> int:
        """Return how many messages may be on their way here: enough for every thread, or for every list."""
        return max(self._each, EACH_LIST * MOST_LISTS) if self._bulk.longest > 1 else self._each

    def _begin_generation(self) -> None:
        """Forget the messages of a connection that is closed: the broker delivers them again."""
        self._generation += 1
        self._acknowledgements = Acknowledgements(in_order=self._broker.url.startswith("amqp"), clock=time.monotonic)
        self._completers.forget()
        self._reporting = self._moving = 0
        self._held: deque[Any] = deque()
        self._to_move: list[tuple[float, Handled]] = []
        self._paused_until: float | None = None

    def _patience(self) -> float:
        """Return how long nothing needs to be done unless a message arrives or comes back."""
        moments = [due for due, _ in self._to_move]
        if self._paused_until is not None and (self._held or not self._reporting):
            moments.append(self._paused_until)
        left = min(moments, default=float("inf")) - time.monotonic()
        unsent = self._acknowledgements.left()
        longest = IDLE_SECONDS if self._is_quiet else PATIENCE_SECONDS
        return min(max(left, 0.0), longest if unsent is None else unsent)

    def _drain(self, connection: kombu.Connection, consumer: kombu.Consumer, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._is_busy() and (left := deadline - time.monotonic()) > 0:
            self._wakeup.wait(connection, min(left, self._patience()))
            self._settle(consumer)
        log.info("callbacks.drained", left=self._reporting + self._moving + len(self._held) + len(self._to_move))

    def _is_busy(self) -> bool:
        return self._reporting + self._moving > 0 and self._paused_until is None

    def _receive(self, message: Any) -> None:
        if message.delivery_info.get("redelivered"):
            metrics.redelivered(metrics.Redelivery.CALLBACK)
        self._acknowledgements.came(message)
        self._submit(message)

    def _receive_undecodable(self, message: Any, _error: Exception) -> None:
        """Treat it as any other, whose reading fails: what is raised from here would come back with the message."""
        self._receive(message)

    def _submit(self, message: Any) -> None:
        self._reporting += 1
        self._completers.take(self._generation, message)

    def _hand_back(self, returned: Sequence[Handled | ListDone]) -> None:
        """Take messages back, on a completer's thread; what is only to be acknowledged may wait while others come."""
        for each in returned:
            self._returned.put(each)
        is_enough = self._returned.qsize() >= self._each // ENOUGH
        if self._is_quiet or is_enough or not all(_may_wait(each) for each in returned):
            self._wakeup.set()

    def _settle(self, consumer: kombu.Consumer) -> None:
        """Dispose of what the other threads handed back, and do what has fallen due."""
        self._is_quiet = True  # before the queue is looked at, so that what comes after that look wakes us
        taken = 0
        while True:
            try:
                returned = self._returned.get_nowait()
            except Empty:
                break
            taken += 1
            self._take_back(returned, consumer)
        self._is_quiet = not taken
        self._acknowledgements.send()
        self._move_what_is_due()
        self._probe_if_due(consumer)
        self._completers.send_off()

    def _take_back(self, returned: Handled | ListDone | _Moved, consumer: kombu.Consumer) -> None:
        if isinstance(returned, ListDone):
            self._completers.list_done()
            return
        handled = returned.handled if isinstance(returned, _Moved) else returned
        if handled.generation != self._generation:
            return
        if isinstance(returned, Handled):
            self._reporting -= 1
            self._dispose(handled, consumer)
            return
        self._moving -= 1
        if returned.succeeded:
            self._acknowledgements.done(handled.message)
        else:
            self._move_in(PROBE_SECONDS, handled)

    def _dispose(self, handled: Handled, consumer: kombu.Consumer) -> None:
        message, decision = handled.message, handled.decision
        match decision.disposal:
            case Disposal.HOLD:
                self._hold(handled, consumer)
            case Disposal.ACKNOWLEDGE:
                self._acknowledgements.done(message)
            case Disposal.PARK:
                log.warning("callbacks.parked", reason=decision.reason)
                metrics.parked()
                self._move_in(self._parking.keep_back_seconds, handled)
            case Disposal.DEAD_LETTER:
                log.error("callbacks.unreadable", reason=decision.reason, celery_id=message.headers.get("id"))
                self._move_in(0.0, handled)
        if decision.engine_answered:
            self._resume(consumer)

    def _hold(self, handled: Handled, consumer: kombu.Consumer) -> None:
        if self._paused_until is None:
            log.warning("callbacks.paused", reason=handled.decision.reason)
            consumer.cancel()
            self._paused_until = time.monotonic() + PROBE_SECONDS
        self._held.append(handled.message)

    def _probe_if_due(self, consumer: kombu.Consumer) -> None:
        """Try one of the held, to see whether the engine is back."""
        if self._paused_until is None or time.monotonic() < self._paused_until:
            return
        if self._held:
            self._paused_until = time.monotonic() + PROBE_SECONDS
            self._submit(self._held.popleft())
        elif not self._reporting:
            # The last of the held was parked without a word from the engine, so a new result must ask it.
            self._resume(consumer)

    def _resume(self, consumer: kombu.Consumer) -> None:
        if self._paused_until is None:
            return
        log.info("callbacks.resumed", held=len(self._held))
        self._paused_until = None
        while self._held:
            self._submit(self._held.popleft())
        consumer.consume()

    def _move_in(self, seconds: float, handled: Handled) -> None:
        self._to_move.append((time.monotonic() + seconds, handled))

    def _move_what_is_due(self) -> None:
        now = time.monotonic()
        due = [handled for moment, handled in self._to_move if moment <= now]
        self._to_move = [(moment, handled) for moment, handled in self._to_move if moment > now]
        for handled in due:
            self._moving += 1
            self._mover.submit(self._move, handled)

    def _move(self, handled: Handled) -> None:
        """Park or bury one message, on the mover's thread."""
        if handled.generation != self._generation:
            return  # it was delivered again, and would else be there twice
        is_dead = handled.decision.disposal is Disposal.DEAD_LETTER
        move = self._parking.bury if is_dead else self._parking.park
        succeeded = move(handled.message, handled.decision.reason)
        self._returned.put(_Moved(handled=handled, succeeded=succeeded))
        self._wakeup.set()


def _may_wait(returned: Handled | ListDone | _Moved) -> bool:
    """Whether nothing follows from it but an acknowledgement."""
    return isinstance(returned, Handled) and returned.decision.disposal is Disposal.ACKNOWLEDGE
