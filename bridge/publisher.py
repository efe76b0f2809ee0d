"""Publishes dispatches as Celery tasks, and knows of each whether the broker has it.

A fetched batch is published on one channel in confirm mode, then awaited together: a confirm awaited per message costs
a third of the throughput. Over a message that is too large for it the broker closes the channel, with all that was on
it; what it had not answered for goes alone the next time, so that it is known whose fault that was, and nobody else
waits. Each publisher belongs to one thread at a time, since channels are not thread-safe.
"""

from __future__ import annotations

import math
import selectors
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError
from procos.logs import get_logger
from procos.queues import EXCHANGE, Queue, declare, socket_of
from procos.routes import by_queue
from procos.task_messages import COMPLETE, FAIL, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    import kombu
    from celery import Celery

    from procos.domain.dispatch import Dispatch
    from procos.routes import Route

PRECONDITION_FAILED = 406
"""The code by which AMQP's brokers close a channel over one message, which is too large for them."""
LAST_WORDS_SECONDS = 10
"""Between the limit a task can catch and the one that kills its process; threads know neither."""

log = get_logger(__name__)


class Receipt(StrEnum):
    """What the broker said about one publication: it has it, has no place for it, does not say, or never takes it."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One dispatch and where it goes."""

    dispatch: Dispatch
    route: Route


class Publisher(Protocol):
    """Hands dispatches to the broker."""

    def ready(self) -> None:
        """Make sure that the broker can be published to; BrokerUnreachableError says that it cannot."""

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        """Publish a batch; the receipts stand in the order of the batch, and nothing is raised."""


class CeleryPublisher:
    """Publishes Celery tasks by name, so that any Celery worker can run what it sends."""

    def __init__(self, app: Celery, *, confirm_timeout: float, time_limit: timedelta) -> None:
        self._app = app
        self._timeout = confirm_timeout
        self._time_limit = time_limit
        self._channel: _ConfirmingChannel | None = None
        self._suspects: frozenset[str] = frozenset()
        """Celery ids of what was on a channel that the broker has closed over one of them."""

    def ready(self) -> None:
        """Have a connection, anew where the broker has closed the one there was.

        Raises:
            BrokerUnreachableError: the broker does not answer.
        """
        if self._channel is not None and not self._channel.is_open():
            self.close()
        try:
            self._channel = self._channel or _ConfirmingChannel(self._app, self._timeout)
        except Exception as error:  # any transport's error
            address = without_secrets(str(self._app.conf.broker_url))
            raise BrokerUnreachableError(address, str(error) or type(error).__name__) from error

    def publish(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        """Publish a batch and wait for the broker's confirms; what is not known in time is UNKNOWN."""
        if self._suspects.isdisjoint(publication.dispatch.ref.celery_id for publication in publications):
            return self._published(publications)
        receipts: list[Receipt] = []
        for publication in publications:
            receipts += self._published([publication])
            if receipts[-1] is Receipt.UNKNOWN:  # the broker is away: the rest would only wait for it too
                break
        return receipts + [Receipt.UNKNOWN] * (len(publications) - len(receipts))

    def _published(self, publications: Sequence[Publication]) -> Sequence[Receipt]:
        """Publish these on one channel."""
        try:
            channel = self._channel = self._channel or _ConfirmingChannel(self._app, self._timeout)
        except Exception as error:  # noqa: BLE001  # any transport's error: nothing was sent, all may be tried again
            log.warning("publisher.broker_unreachable", reason=str(error) or type(error).__name__)
            return [Receipt.UNKNOWN] * len(publications)
        ids = [publication.dispatch.ref.celery_id for publication in publications]
        try:
            for publication in publications:
                self._send(publication, channel)
            channel.settle()
        except Exception as error:  # noqa: BLE001  # the same: what was not confirmed is published again
            self._note_lost(error, channel, ids)
        receipts = [channel.receipts.get(celery_id, Receipt.UNKNOWN) for celery_id in ids]
        # A fresh connection declares the queues again, which is what a refusal asks for.
        self._recycle(channel, lost=any(receipt is not Receipt.CONFIRMED for receipt in receipts))
        return receipts

    def _note_lost(self, error: Exception, channel: _ConfirmingChannel, ids: Sequence[str]) -> None:
        reason = str(error) or type(error).__name__
        if getattr(error, "reply_code", None) != PRECONDITION_FAILED:
            log.warning("publisher.connection_lost", reason=reason)
            return
        log.warning("publisher.channel_closed", reason=reason, messages=len(ids))
        if len(ids) == 1:
            channel.receipts.setdefault(ids[0], Receipt.TOO_LARGE)
        else:
            self._suspects = frozenset(ids).difference(channel.receipts)

    def close(self) -> None:
        """Close the connection."""
        if self._channel:
            self._channel.close()
            self._channel = None

    def _recycle(self, channel: _ConfirmingChannel, *, lost: bool) -> None:
        channel.receipts.clear()
        if lost:
            self.close()

    def _send(self, publication: Publication, channel: _ConfirmingChannel) -> None:
        dispatch, route = publication.dispatch, publication.route
        ref = dispatch.ref
        reference = {"dispatch": ref.to_json()}
        seconds = math.ceil((route.time_limit or self._time_limit).total_seconds())
        task = written(
            route.task_name,
            ref.celery_id,
            kwargs=dispatch.to_kwargs(),
            headers={
                "timelimit": [seconds + LAST_WORDS_SECONDS, seconds],
                "argsrepr": "()",
                "kwargsrepr": _shown(dispatch),
                "ignore_result": not route.store_result,
            },
            callbacks=[_callback(COMPLETE, reference)],
            errbacks=[_callback(FAIL, reference)],
        )
        channel.expect(ref.celery_id)
        self._app.amqp.send_task_message(
            channel.producer,
            route.task_name,
            task,
            exchange=EXCHANGE.name,
            routing_key=route.queue,
            mandatory=True,
            retry=False,
        )
        channel.sent()


class _ConfirmingChannel:
    """One channel in confirm mode, and what the broker said of each message on it."""

    def __init__(self, app: Celery, timeout: float) -> None:
        self.receipts: dict[str, Receipt] = {}
        self._timeout = timeout
        self._connection: kombu.Connection = app.connection_for_write(connect_timeout=timeout, heartbeat=0)
        self._connection.transport_options = {
            **(self._connection.transport_options or {}),
            **_socket_limits(app, timeout),
        }
        self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=math.ceil(timeout))
        otherwise = declare(self._connection, by_queue())
        if otherwise:
            log.warning("topology.declared_otherwise", queues=list(otherwise))
        self._channel: Any = self._connection.channel()
        self.producer = app.amqp.Producer(self._channel, auto_declare=False)
        self._confirms = hasattr(self._channel, "confirm_select")
        self._last_tag = 0
        self._current = ""
        self._unsettled: dict[int, str] = {}
        if self._confirms:
            self._listen()

    def expect(self, celery_id: str) -> None:
        """Say which message is about to be published."""
        self._current = celery_id

    def sent(self) -> None:
        """Count the message: the n-th on a channel has delivery tag n."""
        self._last_tag += 1
        if self._confirms:
            self._unsettled[self._last_tag] = self._current
        else:
            self.receipts[self._current] = Receipt.CONFIRMED

    def settle(self) -> None:
        """Wait until the broker has answered for every message, or the time is up."""
        deadline = time.monotonic() + self._timeout
        while self._unsettled and (left := deadline - time.monotonic()) > 0:
            self._connection.drain_events(timeout=left)

    def is_open(self) -> bool:
        """Whether nothing has told yet that the broker is gone; what it has sent meanwhile is read."""
        file = socket_of(self._connection)
        try:
            with selectors.DefaultSelector() as selector:
                if file is not None and selector.register(file, selectors.EVENT_READ) and selector.select(0):
                    self._connection.drain_events(timeout=0.001)
        except TimeoutError:
            return True
        except Exception:  # noqa: BLE001  # any transport's error says the same
            return False
        return bool(self._connection.connected)

    def close(self) -> None:
        """Close channel and connection, whatever state they are in."""
        self._connection.collect(socket_timeout=1.0)

    def _listen(self) -> None:
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001  # py-amqp's signature
        for celery_id in self._settled(delivery_tag, multiple=multiple):
            self.receipts.setdefault(celery_id, Receipt.CONFIRMED)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001  # py-amqp's signature
        for celery_id in self._settled(delivery_tag, multiple=multiple):
            self.receipts[celery_id] = Receipt.REFUSED

    def _on_return(self, _error: Exception, _exchange: str, _routing_key: str, message: Any) -> None:
        self.receipts[message.properties["correlation_id"]] = Receipt.REFUSED

    def _settled(self, delivery_tag: int, *, multiple: bool) -> Sequence[str]:
        tags = [tag for tag in self._unsettled if tag == delivery_tag or (multiple and tag <= delivery_tag)]
        return [self._unsettled.pop(tag) for tag in tags]


def _callback(name: str, kwargs: Mapping[str, object]) -> dict[str, object]:
    """Write the signature of a callback; the exchange is named, not the queue, so that workers need not declare it."""
    return {
        "task": name,
        "args": [],
        "kwargs": kwargs,
        "options": {"exchange": EXCHANGE.name, "routing_key": str(Queue.CALLBACKS), "ignore_result": True},
        "subtask_type": None,
        "immutable": False,
    }


def _shown(dispatch: Dispatch) -> str:
    """Write what Flower shows and searches: ids, never the contents of variables."""
    ref = dispatch.ref
    return repr({
        "process_instance_id": str(ref.process_instance_id),
        "activity_id": ref.activity_id,
        "external_task_id": str(ref.external_task_id),
        "business_key": dispatch.business_key,
    })  # fmt: skip


def _socket_limits(app: Celery, timeout: float) -> Mapping[str, float]:
    """Bound a publish to a broker that blocks publishers (memory or disk alarm), which would else wait for ever."""
    return {"write_timeout": timeout} if str(app.conf.broker_url).startswith("amqp") else {}
