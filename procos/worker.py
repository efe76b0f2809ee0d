"""The Celery worker's consumer: declares the whole topology, and is stopped by nothing that arrives.

Celery declares 28 delay queues for every broker with quorum queues, so that countdowns work; ProcOS delays through the
engine's retry timer alone. Without them a worker starts in a second or two and small broker plans are not used up.

What `procos.worker_guard` finds wrong is rejected, so that it becomes a dead letter, logged without its contents and
counted; the worker goes on. Brokers without dead letters (Redis) are handed a copy for the same queue.
"""

from __future__ import annotations

import itertools
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kombu
from celery import bootsteps
from celery.exceptions import NotRegistered
from celery.utils.objects import Bunch
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.connection import Connection
from celery.worker.consumer.tasks import Tasks
from celery.worker.request import Request as CeleryRequest

from procos.logs import get_logger
from procos.queues import DEAD_LETTERS, dead, declare, refuse_compression
from procos.routes import by_queue
from procos.worker_guard import flaw_of, named
from procos.worker_slots import RENEWED_EVERY_SECONDS, WorkerSlots

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger(__name__)

DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
_refused = itertools.count(1)


class Topology(bootsteps.StartStopStep):
    """Declares every queue at each (re)connection, so that a worker for one queue works on an empty broker."""

    requires = (Connection,)

    def start(self, parent: CeleryConsumer) -> None:
        """Declare the queues, the outbox and the dead letters."""
        otherwise = declare(parent.connection, by_queue()) if parent.connection else ()
        if otherwise:
            log.warning("topology.declared_otherwise", queues=list(otherwise))


class Slots(bootsteps.StartStopStep):
    """Shows the bridges how many tasks this worker takes at once, for as long as it consumes."""

    requires = (Tasks,)

    def __init__(self, parent: CeleryConsumer, **options: Any) -> None:
        self._shown = WorkerSlots(parent.app.conf.procos.redis.url, parent.hostname)
        self._renewal: Any = None
        super().__init__(parent, **options)

    def start(self, parent: CeleryConsumer) -> None:
        """Show them now, and again and again from the worker's loop."""
        self._show(parent)
        self._renewal = parent.timer.call_repeatedly(RENEWED_EVERY_SECONDS, self._show, (parent,))

    def stop(self, parent: CeleryConsumer) -> None:  # noqa: ARG002  # celery's signature
        """Show them no longer: the connection is lost, or the worker is to end."""
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        self._shown.withdraw()

    shutdown = stop

    def _show(self, parent: Any) -> None:
        self._shown.show(parent.pool.num_processes, [queue.name for queue in parent.task_consumer.queues])


class Request(CeleryRequest):
    """A task in a worker's hands; shows `celery inspect`, and so Flower, the names of its variables alone."""

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002  # celery's signature
        """Describe the task without its arguments, which hold the contents of variables."""
        return super().info(safe=True)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: FBT001, FBT002  # celery's signature
        """Deal with a task that failed; one that ran out of memory goes back, as if its process had been killed.

        Celery ends the whole worker then, and with it whatever else is running there.
        """
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not isinstance(error, MemoryError):
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
            return
        log.error("task.out_of_memory", task=self.name, celery_id=self.id)
        state.task_ready(self)
        self.reject(requeue=True)


class Consumer(CeleryConsumer):
    """Celery's consumer; named by the option `worker_consumer`."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[valid-type,misc]  # celery's stubs make it a variable
        """The steps of a worker's consumer."""

        default_steps = tuple(
            "procos.worker:Topology" if step == DELAYED_DELIVERY else step
            for step in (*CeleryConsumer.Blueprint.default_steps, "procos.worker:Slots")
        )

    connection_errors: tuple[type[BaseException], ...]
    channel_errors: tuple[type[BaseException], ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_compression()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return what is called with every message of a task queue."""
        hand_on = super().create_task_handler(*args, **kwargs)
        largest = self.app.conf.procos.worker.largest_message
        broker_errors: tuple[type[BaseException], ...] = (*self.connection_errors, *self.channel_errors)

        def on_task_received(message: Any) -> None:
            flaw = flaw_of(message, largest=largest)
            if flaw:
                self.refuse(message, flaw)
                return
            try:
                hand_on(message)
            except broker_errors:
                raise
            except Exception as error:  # noqa: BLE001  # no message may end the worker: others wait behind it
                self._give_back(message, error)

        return on_task_received

    def refuse(self, message: Any, reason: str) -> None:
        """Make a message a dead letter, and say why; what it holds is not told."""
        log.error("message.refused", reason=reason, refused=next(_refused), **named(message))
        if not self.app.conf.broker_url.startswith("amqp"):
            _bury(message)
        self._reject(message)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Refuse what kombu cannot make a message of; on the control queue there is nothing to refuse."""
        if message.delivery_info.get("consumer_tag") in (message.channel.no_ack_consumers or ()):
            log.error("control.unreadable", reason=type(exc).__name__)
            return
        self.refuse(message, f"the message cannot be read: {type(exc).__name__}")

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  # celery's signature
        """Refuse what is no task."""
        self.refuse(message, "not a task")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  # celery's signature
        """Refuse a task that Celery finds invalid."""
        self.refuse(message, f"not a valid task: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002  # celery's signature
        """Refuse a task that this worker does not know, and note that as its result."""
        name, celery_id = message.headers["task"], message.headers["id"]
        request = Bunch(name=name, chord=None, root_id=None, errbacks=None, correlation_id=None, reply_to=None)
        try:
            # Before the dead letter is there: who reads that one looks for the reason here.
            self.app.backend.mark_as_failure(celery_id, NotRegistered(name), request=request)
        except Exception as error:  # noqa: BLE001  # without Redis the reason is not stored, the dead letter stands
            log.warning("message.reason_not_stored", reason=type(error).__name__)
        self.refuse(message, "no such task is registered here")

    def _give_back(self, message: Any, error: Exception) -> None:
        """Deal with a message that looks right and that Celery stumbles over: try it once more, then refuse it."""
        request = state.requests.get(message.headers["id"])
        if request is not None:
            state.task_ready(request)
        if message.acknowledged:
            log.error("message.mishandled", reason=_told(error), **named(message))
        elif message.delivery_info.get("redelivered"):
            self.refuse(message, f"Celery cannot take it: {_told(error)}")
        else:
            log.error("message.returned", reason=_told(error), **named(message))
            self._reject(message, requeue=True)

    def _reject(self, message: Any, *, requeue: bool = False) -> None:
        try:
            message.reject(requeue=requeue)
        except self.connection_errors as error:
            # The broker delivers it again, and it is looked at again.
            log.warning("message.not_rejected", reason=type(error).__name__)


def _told(error: Exception) -> str:
    """Name an error and its place; its own words may quote the message."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno})"


def _bury(message: Any) -> None:
    """Publish a copy to the dead letters, where the broker does not do so itself; before the message is let go of."""
    producer = kombu.Producer(message.channel, auto_declare=False)
    producer.publish(
        message.body,
        exchange=DEAD_LETTERS.name,
        routing_key=dead(message.delivery_info.get("routing_key") or ""),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=message.headers,
    )
