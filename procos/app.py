"""The Celery app: `celery -A procos.app worker -Q ai`.

Configured from the settings alone, so that a worker needs a broker URL and a Redis URL and nothing else. Task modules
are named by the routes, and by packages that add further ones, and imported by workers only; the bridge publishes by
name. Why each odd option is as it is stands beside it; the measurements are in docs/adr/.
"""

from __future__ import annotations

import difflib
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from celery import Celery
from celery import Task as CeleryTask
from celery.signals import setup_logging
from celery.utils import uuid

from procos.credentials import credentials_in
from procos.domain.errors import SettingsError
from procos.logs import configure_logs, strike_out_of_prints
from procos.queues import EXCHANGE, Queue, task_queue
from procos.routes import by_queue
from procos.settings import load_settings
from procos.task_messages import CALLBACKS, written
from procos.task_modules import task_modules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.settings import Settings

AI_SLOTS = 16
GENERIC_SLOTS = 2
RESULTS_KEPT_SECONDS = 48 * 3600
"""Longer than any dispatch may take (PROCOS_BRIDGE_LARGEST_AGE): a stored result answers a lost callback."""
FOR_EVER = 10**9
"""Tries. Celery takes None for a handful where a task's callback is concerned."""


class Task(CeleryTask):  # type: ignore[type-arg]  # generic for type checkers alone
    """Every task of the app, a third party's too: what a worker does with one is in `procos.worker`."""

    Request = "procos.worker:Request"


class App(Celery):
    """Celery, with a shorter way for what each task sends when it ends."""

    loader_cls = "procos.task_modules:Loader"

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        """Send a task by name and return its result; a callback to the bridge has none, and is written at once."""
        if name not in CALLBACKS:
            return super().send_task(name, args, kwargs, *more, **options)
        celery_id = options.get("task_id") or uuid()
        parents = {key: options.get(key) for key in ("root_id", "parent_id")}
        callback = written(name, celery_id, args=args, kwargs=kwargs, headers=parents)
        # Celery may hold one already: a second for the same thread would starve the pool.
        with self.producer_or_acquire(options.get("producer")) as producer:
            self.amqp.send_task_message(
                producer, name, callback, exchange=options["exchange"], routing_key=options["routing_key"]
            )
        return None


def make_app(settings: Settings, *, with_results: bool = True, queues: Sequence[str] = ()) -> Celery:
    """Build the Celery app; `queues` are those a worker consumes, which decides its default pool."""
    app = App("procos", task_cls=cast("Any", Task), set_as_current=with_results)
    app.conf.update(_common(settings), **_pool(settings, queues))
    app.conf.update(_results(settings) if with_results else {"result_backend": None})
    app.conf.procos = settings
    return app


def consumed_queues(arguments: Sequence[str]) -> list[str]:
    """Read the queues from a worker's command line, since Celery chooses the pool before it looks at them."""
    for position, argument in enumerate(arguments):
        if argument in {"-Q", "--queues"} and position + 1 < len(arguments):
            return arguments[position + 1].split(",")
        for prefix in ("--queues=", "-Q"):
            if argument.startswith(prefix) and len(argument) > len(prefix):
                return argument.removeprefix(prefix).split(",")
    return []


def check_consumed(queues: Sequence[str]) -> None:
    """Return if a worker may take from these queues.

    Raises:
        SettingsError: no route names one of them, so nothing would ever come; says which there are.
    """
    known = sorted(by_queue())
    for queue in queues:
        if queue not in known:
            near = difflib.get_close_matches(queue, known, n=1)
            cure = f"did you mean {near[0]}?" if near else "is the package with its routes installed here?"
            raise SettingsError([f"no route names queue {queue!r}; known: {', '.join(known)}; {cure}"])


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.broker.url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(settings),
        # Task queues only: a worker started without -Q would else consume the outbox and the dead letters.
        "task_queues": [task_queue(name) for name in by_queue()],
        "task_default_queue": Queue.GENERIC,
        "task_default_exchange": EXCHANGE.name,
        "task_default_routing_key": Queue.GENERIC,
        "task_create_missing_queues": False,
        "include": list(task_modules()),
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "timezone": "UTC",
        # What runs may run twice, what is lost is worse: acknowledge after the work, return it when a worker dies.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_consumer": "procos.worker:Consumer",
        "worker_hijack_root_logger": False,
        "worker_send_task_events": settings.worker.events,
        "worker_soft_shutdown_timeout": settings.worker.soft_shutdown,
        "worker_max_tasks_per_child": 1000,
        # A worker that gave up publishing a callback would turn a task that has succeeded into one that failed.
        "task_publish_retry_policy": {
            "max_retries": FOR_EVER,
            "interval_start": 0,
            "interval_step": 0.5,
            "interval_max": 2,
        },
    }


def _results(settings: Settings) -> dict[str, Any]:
    return {
        # Celery calls a socket what redis-py calls unix.
        "result_backend": f"procos.results:Results+{settings.redis.url.replace('unix://', 'socket://', 1)}",
        "result_backend_thread_safe": True,
        "result_expires": RESULTS_KEPT_SECONDS,
        "task_store_errors_even_if_ignored": True,
        # A redelivered message whose result is stored is not run again.
        "worker_deduplicate_successful_tasks": True,
        "redis_socket_keepalive": True,
        "redis_retry_on_timeout": True,
        "redis_socket_timeout": 30.0,
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker.url.startswith("amqp"):
        return {}
    # Redis and Valkey have no acknowledgements of their own: a message counts as lost when this time has passed.
    return {
        "visibility_timeout": 2 * settings.worker.time_limit,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


def _pool(settings: Settings, queues: Sequence[str]) -> dict[str, Any]:
    """Threads wait for AI providers cheaply; everything else gets processes, which can be limited and killed."""
    if list(queues) != [Queue.AI]:
        return {"worker_pool": "prefork", "worker_concurrency": settings.worker.concurrency or GENERIC_SLOTS}
    return {
        "worker_pool": "threads",
        "worker_concurrency": settings.worker.concurrency or AI_SLOTS,
        # Celery 5.7 deadlocks in the threads pool when events and heartbeats share a connection; TCP keepalive stays.
        "broker_heartbeat": 0,
    }


def name_worker(queues: Sequence[str]) -> None:
    """Give a worker a name of its own where its command line gives none.

    Celery's default name is the host's, and since 5.7 a second worker of the same name cannot start: its control queue
    is exclusive. The variable is click's own default for the option `-n` of `celery worker`.
    """
    name = f"{'-'.join(queues) or 'all'}-{os.getpid()}@%h"
    os.environ.setdefault("CELERY_WORKER_HOSTNAME", name)  # noqa: TID251  # Celery's command line reads it, not we


@setup_logging.connect
def _logs(**_: object) -> None:
    configure_logs(app.conf.procos.log, secrets=credentials_in(app.conf.procos))
    strike_out_of_prints()


app = make_app(load_settings(), queues=consumed_queues(sys.argv))
if "worker" in sys.argv:
    # Nowhere else: workers that a program of ours starts would inherit the name, and all have the same.
    check_consumed(consumed_queues(sys.argv))
    name_worker(consumed_queues(sys.argv))
