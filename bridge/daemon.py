"""The bridge as a process: wires the parts, owns the threads, and stops them in order.

Stopping: pollers first (nothing new is fetched, parked polls are ended), then the callbacks with a limit for reports
under way. What is not reported by then stays in RabbitMQ; what is not published stays reserved and is offered again.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge.callbacks import Callbacks
from bridge.dispatcher import Dispatcher
from bridge.lease_keeper import LeaseKeeper
from bridge.ledger import Ledger
from bridge.poller import Poller, Retries
from bridge.publisher import CeleryPublisher
from bridge.reporter import Reporter
from bridge.unserved import UnservedTopics
from procos.app import make_app
from procos.domain.errors import EngineBusyError, EngineError, UnreachableError
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.logs import get_logger
from procos.routes import by_queue, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.settings import Settings

STARTUP_RETRY_SECONDS = 2.0
POLLER_STOP_SECONDS = 3.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What every part is made of."""

    settings: Settings
    engine: HttpEngine
    ledger: Ledger
    new_publisher: Callable[[], CeleryPublisher]
    stop: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Everything that runs."""

    pollers: tuple[Poller, ...]
    retries: Retries
    lease_keeper: LeaseKeeper
    callbacks: Callbacks
    unserved: UnservedTopics | None


def run_bridge(settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT.

    Raises:
        EngineDeniedError, EngineMisconfiguredError: the engine's address or credentials are wrong.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = HttpEngine(Transport(settings.engine))
    ledger = Ledger(settings.redis)
    if not (_await("engine", lambda: _greet(engine), stop) and _await("redis", ledger.ping, stop)):
        return
    app = make_app(settings, with_results=False)
    publisher = partial(
        CeleryPublisher,
        app,
        confirm_timeout=settings.broker.confirm_timeout,
        time_limit=timedelta(seconds=settings.worker.time_limit),
    )
    parts = _wire(_Shared(settings=settings, engine=engine, ledger=ledger, new_publisher=publisher, stop=stop))
    threads = _start(parts, stop, settings)
    log.info("bridge.ready", replica=settings.bridge.replica_id, queues=[poller.queue for poller in parts.pollers])
    stop.wait()
    _stop(parts, threads, settings)


def _wire(shared: _Shared) -> _Parts:
    settings, ledger = shared.settings, shared.ledger
    pollers = tuple(_poller(shared, queue, served) for queue, served in by_queue().items())
    reporter = Reporter(shared.engine, ledger, routes(), stop=shared.stop)
    return _Parts(
        pollers=pollers,
        retries=Retries(ledger, pollers),
        lease_keeper=LeaseKeeper(shared.engine, ledger, by_queue()),
        callbacks=Callbacks(
            reporter, ledger, settings.broker, completers=settings.bridge.completers, queues=by_queue()
        ),
        unserved=_unserved(shared) if settings.bridge.unknown_topics == "fail" else None,
    )


def _poller(shared: _Shared, queue: str, served: Mapping[Topic, Route]) -> Poller:
    bridge = shared.settings.bridge
    return Poller(
        shared.engine,
        shared.ledger,
        _dispatcher(shared, queue),
        served,
        holder=_holder(shared, queue),
        queue=queue,
        capacity=bridge.capacity,
        lock_duration=timedelta(seconds=bridge.lock_duration),
        wait=timedelta(seconds=bridge.poll_timeout),
    )


def _unserved(shared: _Shared) -> UnservedTopics:
    name = "unserved"
    dispatcher, holder = _dispatcher(shared, name), _holder(shared, name)
    return UnservedTopics(shared.engine, shared.engine.open_topics, dispatcher, routes(), holder=holder)


def _dispatcher(shared: _Shared, queue: str) -> Dispatcher:
    return Dispatcher(
        shared.engine,
        shared.ledger,
        shared.new_publisher(),
        routes(),
        queue=queue,
        lease=timedelta(seconds=shared.settings.bridge.lock_duration),
        largest_input=shared.settings.bridge.largest_input,
        stop=shared.stop,
    )


def _holder(shared: _Shared, queue: str) -> str:
    """Name the worker id of a queue's poller, and let the other replicas know it for one of ours."""
    name = f"{shared.settings.bridge.replica_id}/{queue}"
    shared.ledger.register_holder(name)
    return name


def _start(parts: _Parts, stop: threading.Event, settings: Settings) -> list[threading.Thread]:
    """Start the callbacks first: they declare the queues the pollers publish to."""
    work: list[tuple[str, Callable[[], None]]] = [
        ("callbacks", lambda: parts.callbacks.run(stop, drain_seconds=settings.bridge.drain_timeout)),
        ("lease-keeper", lambda: parts.lease_keeper.run(stop)),
        ("retries", lambda: parts.retries.run(stop)),
        *((f"poller-{poller.queue}", partial(poller.run, stop)) for poller in parts.pollers),
    ]
    if parts.unserved:
        work.append(("unserved", partial(parts.unserved.run, stop)))
    threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in work]
    for thread in threads:
        thread.start()
    return threads


def _stop(parts: _Parts, threads: list[threading.Thread], settings: Settings) -> None:
    log.info("bridge.stopping")
    parts.callbacks.wake()
    for poller in parts.pollers:
        try:
            poller.release()
        except (EngineError, UnreachableError) as error:
            log.info("poller.not_released", queue=poller.queue, reason=str(error))
    for thread in threads:
        limit = settings.bridge.drain_timeout if thread.name == "callbacks" else POLLER_STOP_SECONDS
        thread.join(limit)
    log.info("bridge.stopped", unfinished=[thread.name for thread in threads if thread.is_alive()])


def _greet(engine: HttpEngine) -> None:
    log.info("engine.found", version=engine.version(), json_type=engine.knows_json)


def _await(part: str, check: Callable[[], None], stop: threading.Event) -> bool:
    """Wait for a part at start, saying so; returns False when stopped meanwhile."""
    while not stop.is_set():
        try:
            check()
        except (UnreachableError, EngineBusyError) as error:
            log.warning(f"{part}.unreachable", reason=str(error))  # noqa: G004  # one of two static names
            stop.wait(STARTUP_RETRY_SECONDS)
        else:
            return True
    return False
