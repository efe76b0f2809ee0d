"""The bridge as a process: starts the parts, each on a thread, and stops them in order.

Stopping: pollers first (nothing new is fetched, parked polls are ended, what is fetched and not published is unlocked),
then all others, with one limit for reports under way. What is not reported by then stays in RabbitMQ. The replica id is
given back whenever the bridge ends, even while it starts. A bridge that is drained fetches nothing from the start, and
ends when nothing is in flight any more.
"""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from bridge.heartbeats import Heartbeats, longest_silence
from bridge.ledger import Ledger
from bridge.observation import observed
from bridge.registry import Registry
from bridge.wiring import Shared, wire
from procos.caps import all_caps
from procos.domain.errors import (
    EngineBusyError,
    EngineError,
    LedgerUnreachableError,
    ReplicaTakenError,
    UnreachableError,
)
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.logs import get_logger
from procos.routes import by_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.poller import Poller
    from bridge.wiring import Parts
    from procos.settings import Settings

STARTUP_RETRY_SECONDS = 2.0
POLLER = "poller-"
POLLER_STOP_SECONDS = 3.0
RELEASE_SECONDS = 0.5
DRAIN_CHECK_SECONDS = 1.0

log = get_logger(__name__)


def run_bridge(settings: Settings, *, drain: bool = False) -> None:
    """Run the bridge until SIGTERM or SIGINT; to drain is to fetch nothing and end when nothing is in flight.

    Raises:
        EngineDeniedError, EngineMisconfiguredError: the engine's address or credentials are wrong.
        SettingsError: the port of the health server is taken.
        ReplicaTakenError: another bridge runs under this replica id, or took it while this one was away.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    shared = Shared(
        settings=settings,
        engine=HttpEngine(Transport(settings.engine)),
        ledger=Ledger(settings.redis, all_caps()),
        registry=Registry(settings.redis),
        heartbeats=Heartbeats(),
        stop=stop,
    )
    parts = wire(shared)
    with observed(settings, shared.heartbeats):
        try:
            if _arrive(shared, parts):
                _run(shared, parts, drain=drain)
        finally:
            _depart(parts)
    if parts.presence.taken_by is not None:
        raise ReplicaTakenError(settings.bridge.replica_id, parts.presence.taken_by)


def _arrive(shared: Shared, parts: Parts) -> bool:
    """Wait for the parts the bridge needs, take the replica id, and see to what an earlier run has left."""
    return (
        _await("engine", lambda: _greet(shared.engine), shared.stop)
        and _await("redis", lambda: parts.presence.arrive(shared.stop), shared.stop)
        and _await("engine", parts.orphans.begin, shared.stop)
    )


def _run(shared: Shared, parts: Parts, *, drain: bool) -> None:
    threads = _start(shared, parts, drain=drain)
    queues = sorted(by_queue())
    log.info("bridge.ready", replica=shared.settings.bridge.replica_id, queues=queues, draining=drain)
    if drain:
        _await_emptiness(shared, queues)
    shared.stop.wait()
    _stop(shared, parts, threads)


def _start(shared: Shared, parts: Parts, *, drain: bool) -> list[threading.Thread]:
    """Start the callbacks first: they declare the queues the pollers publish to."""
    stop, beat = shared.stop, shared.heartbeats.beat
    callbacks = partial(parts.callbacks.run, stop, drain_seconds=shared.settings.bridge.drain_timeout, beat=beat)
    work: list[tuple[str, Callable[[], None]]] = [
        ("callbacks", callbacks),
        ("dead-letters", partial(parts.dead_letters.run, stop, beat=beat)),
        *((job.name, partial(job.run, stop, beat)) for job in parts.jobs),
    ]
    if not drain:
        work += [(POLLER + poller.name, partial(poller.run, stop, beat)) for poller in parts.pollers]
        work += [(job.name, partial(job.run, stop, beat)) for job in parts.fetching_jobs]
    threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in work]
    for thread in threads:
        within = longest_silence(shared.settings, polls=thread.name.startswith(POLLER))
        shared.heartbeats.expect(thread.name, within=within)
        thread.start()
    return threads


def _await_emptiness(shared: Shared, queues: Sequence[str]) -> None:
    """Stop when nothing is in flight, saying how much still is."""
    before: int | None = None
    while not shared.stop.is_set():
        try:
            left = sum(shared.ledger.in_flight(queue) for queue in queues)
        except LedgerUnreachableError as error:
            log.warning("bridge.drain_waits", reason=str(error))
            left = None
        if left == 0 == before:  # twice, since a result may just be moving from one place to the next
            log.info("bridge.drained")
            shared.stop.set()
        elif left != before:
            log.info("bridge.draining", in_flight=left)
        before = left
        shared.stop.wait(DRAIN_CHECK_SECONDS)


def _stop(shared: Shared, parts: Parts, threads: list[threading.Thread]) -> None:
    log.info("bridge.stopping")
    began = time.monotonic()
    parts.callbacks.wake()
    releases = _release_all(parts)
    pollers = [thread for thread in threads if thread.name.startswith(POLLER)]
    _join(pollers, began + POLLER_STOP_SECONDS)
    # Once more: a poll that began at the same moment would go on and take tasks along for nobody.
    for release in (*releases, *_release_all(parts)):
        release.join(RELEASE_SECONDS)
    others = [thread for thread in threads if thread not in pollers]
    _join(others, began + POLLER_STOP_SECONDS + shared.settings.bridge.drain_timeout)
    log.info("bridge.stopped", unfinished=[thread.name for thread in threads if thread.is_alive()])


def _release_all(parts: Parts) -> list[threading.Thread]:
    """End the parked polls, beside the joins: an engine that hangs must not use up the time of the reports."""
    names = {f"release-{poller.name}": poller for poller in parts.pollers}
    releases = [threading.Thread(target=_release, args=(p,), name=name, daemon=True) for name, p in names.items()]
    for release in releases:
        release.start()
    return releases


def _release(poller: Poller) -> None:
    try:
        poller.release()
    except (EngineError, UnreachableError) as error:
        log.info("poller.not_released", poller=poller.name, reason=str(error))


def _join(threads: Sequence[threading.Thread], deadline: float) -> None:
    """Wait for all of them until the same moment."""
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))


def _depart(parts: Parts) -> None:
    try:
        parts.presence.depart()
    except LedgerUnreachableError as error:
        log.info("replica.not_released", reason=str(error))


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
