"""Consumes `callbacks`, the outbox of results: a message is acknowledged only after the engine's verdict.

One thread owns the connection (channels are not thread-safe); completer threads report, and hand the message back with
what to do about it. While the engine is down consuming is cancelled and results wait in RabbitMQ; what cannot be
reported now though the engine lives is parked, so that it stalls nobody; what cannot be read goes to the dead letters.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import kombu

from bridge.outcomes import Callback, read_callback
from bridge.wakeup import Wakeup
from procos.domain.errors import (
    DispatchError,
    EngineUnreachableError,
    ProcosError,
)
from procos.logs import get_logger
from procos.queues import DEAD_LETTERS, EXCHANGE, PARKED, Queue, callback_queue, connect, dead, declare

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from bridge.ledger import Ledger
    from bridge.reporter import Reporter
    from procos.settings import BrokerSettings

PROBE_SECONDS = 1.0
IDLE_SECONDS = 5.0
RECONNECT_SECONDS = 1.0

log = get_logger(__name__)


class Disposal(StrEnum):
    """What to do with a message after a try to report it."""

    ACKNOWLEDGE = "acknowledge"
    HOLD = "hold"
    PARK = "park"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handled:
    """A message that comes back from a completer, with the generation of the connection it belongs to."""

    generation: int
    message: Any
    disposal: Disposal
    reason: str = ""


class Callbacks:
    """The consumer of results; `run` is its thread."""

    def __init__(
        self,
        reporter: Reporter,
        ledger: Ledger,
        broker: BrokerSettings,
        *,
        completers: int,
        queues: Iterable[str],
    ) -> None:
        self._reporter, self._ledger, self._broker = reporter, ledger, broker
        self._queues, self._prefetch = tuple(queues), 8 * completers
        self._pool = ThreadPoolExecutor(completers, thread_name_prefix="completer")
        self._handled: SimpleQueue[_Handled] = SimpleQueue()
        self._wakeup = Wakeup()
        self._generation = 0
        self._in_hand = 0
        self._held: deque[Any] = deque()
        self._paused_until: float | None = None

    def run(self, stop: threading.Event, *, drain_seconds: float = 0.0) -> None:
        """Consume until stopped, then give reports under way `drain_seconds` to finish."""
        while not stop.is_set():
            try:
                with connect(self._broker, confirm_publish=True) as connection:
                    self._consume(connection, stop, drain_seconds)
            except Exception as error:  # noqa: BLE001  # any transport's error: unacknowledged results come again
                log.warning("callbacks.connection_lost", reason=str(error) or type(error).__name__)
                stop.wait(RECONNECT_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Let the loop look at its stop event now."""
        self._wakeup.set()

    def _consume(self, connection: kombu.Connection, stop: threading.Event, drain_seconds: float) -> None:
        self._begin_generation()
        declare(connection, self._queues)
        with connection.channel() as channel:
            consumer = kombu.Consumer(
                channel,
                [callback_queue()],
                on_message=self._submit,
                accept=["json"],
                prefetch_count=self._prefetch,
                auto_declare=False,
            )
            consumer.consume()
            while not stop.is_set():
                self._wakeup.wait(connection, self._patience())
                self._settle(connection, consumer)
            consumer.cancel()
            self._drain(connection, consumer, drain_seconds)

    def _begin_generation(self) -> None:
        """Forget the messages of a lost connection: the broker delivers them again."""
        self._generation += 1
        self._in_hand = 0
        self._held.clear()
        self._paused_until = None

    def _patience(self) -> float:
        if self._paused_until is None:
            return IDLE_SECONDS
        return max(self._paused_until - time.monotonic(), 0.0)

    def _drain(self, connection: kombu.Connection, consumer: kombu.Consumer, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._in_hand > 0 and self._paused_until is None and (left := deadline - time.monotonic()) > 0:
            self._wakeup.wait(connection, left)
            self._settle(connection, consumer)
        log.info("callbacks.drained", left=self._in_hand + len(self._held))

    def _submit(self, message: Any) -> None:
        self._in_hand += 1
        self._pool.submit(self._handle, self._generation, message)

    def _handle(self, generation: int, message: Any) -> None:
        """Report one message, on a completer thread."""
        disposal, reason = self._try(message)
        self._handled.put(_Handled(generation=generation, message=message, disposal=disposal, reason=reason))
        self._wakeup.set()

    def _try(self, message: Any) -> tuple[Disposal, str]:
        try:
            callback: Callback = read_callback(message, self._ledger)
            self._reporter.report(callback.ref, callback.outcome, tries=1 + _times_parked(message))
        except DispatchError as error:
            return Disposal.DEAD_LETTER, str(error)
        except EngineUnreachableError as error:
            return Disposal.HOLD, str(error)
        except ProcosError as error:
            return Disposal.PARK, str(error)
        except Exception as error:  # the message must come back whatever happens, else its slot is lost
            log.exception("callbacks.report_failed")
            return Disposal.PARK, f"{type(error).__name__}: {error}"
        return Disposal.ACKNOWLEDGE, ""

    def _settle(self, connection: kombu.Connection, consumer: kombu.Consumer) -> None:
        """Dispose of what the completers handed back, and probe the engine if it is time."""
        while True:
            try:
                handled = self._handled.get_nowait()
            except Empty:
                break
            if handled.generation == self._generation:
                self._in_hand -= 1
                self._dispose(handled, connection, consumer)
        if self._paused_until is not None and self._held and time.monotonic() >= self._paused_until:
            self._paused_until = time.monotonic() + PROBE_SECONDS
            self._submit(self._held.popleft())

    def _dispose(self, handled: _Handled, connection: kombu.Connection, consumer: kombu.Consumer) -> None:
        match handled.disposal:
            case Disposal.HOLD:
                self._hold(handled, consumer)
                return
            case Disposal.ACKNOWLEDGE:
                handled.message.ack()
            case Disposal.PARK:
                self._park(handled, connection)
            case Disposal.DEAD_LETTER:
                self._bury(handled, connection)
        self._resume(consumer)

    def _hold(self, handled: _Handled, consumer: kombu.Consumer) -> None:
        if self._paused_until is None:
            log.warning("callbacks.paused", reason=handled.reason)
            consumer.cancel()
            self._paused_until = time.monotonic() + PROBE_SECONDS
        self._held.append(handled.message)

    def _resume(self, consumer: kombu.Consumer) -> None:
        if self._paused_until is None:
            return
        log.info("callbacks.resumed", held=len(self._held))
        self._paused_until = None
        while self._held:
            self._submit(self._held.popleft())
        consumer.consume()

    def _park(self, handled: _Handled, connection: kombu.Connection) -> None:
        """Let a result pause in the broker; a broker without timed queues offers it again at once, so wait here."""
        log.warning("callbacks.parked", reason=handled.reason)
        if connection.transport.driver_type == "amqp":
            self._move(handled, connection, EXCHANGE, PARKED)
            handled.message.ack()
        else:
            time.sleep(PROBE_SECONDS)  # noqa: TID251  # bounded, and only without RabbitMQ
            handled.message.requeue()

    def _bury(self, handled: _Handled, connection: kombu.Connection) -> None:
        log.error("callbacks.unreadable", reason=handled.reason, celery_id=handled.message.headers.get("id"))
        self._move(handled, connection, DEAD_LETTERS, dead(Queue.CALLBACKS))
        handled.message.ack()

    def _move(
        self, handled: _Handled, connection: kombu.Connection, exchange: kombu.Exchange, routing_key: str
    ) -> None:
        """Publish a message elsewhere and wait for the confirm, before the original is acknowledged."""
        message = handled.message
        channel: Any
        with connection.channel() as channel:
            channel.basic_publish(
                channel.prepare_message(
                    message.body,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    headers={**message.headers, "x-procos-reason": handled.reason[:500]},
                    properties={"delivery_mode": 2, "correlation_id": message.properties.get("correlation_id")},
                ),
                exchange=exchange.name,
                routing_key=routing_key,
                confirm_timeout=self._broker.confirm_timeout,
            )


def _times_parked(message: Any) -> int:
    """Count how often RabbitMQ brought the message back from the parked queue."""
    deaths = message.headers.get("x-death") or []
    return sum(int(death.get("count", 0)) for death in deaths if death.get("queue") == PARKED)
