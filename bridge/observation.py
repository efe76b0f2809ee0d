"""What others see of the bridge, put together: health over HTTP, with its own clients of engine, broker and Redis.

The clients are its own, so that a probe never waits behind the bridge's work; none is asked before somebody probes.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bridge.backlog import BacklogMetrics
from bridge.inquiry import Inquiry
from bridge.ledger import Ledger
from bridge.readiness import Readiness
from bridge.registry import Registry
from procos import metrics
from procos.engine.backlog import backlog_of
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.health_server import Answers, HealthServer
from procos.queues import connect
from procos.routes import by_queue, routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.heartbeats import Heartbeats
    from procos.settings import BrokerSettings, Settings

PREFIX = "PROCOS_BRIDGE_HEALTH_"
ANSWER_SECONDS = 2.0
ROOM_EVERY = timedelta(seconds=1)
ROOM_PATIENCE_SECONDS = 0.5


@contextmanager
def observed(settings: Settings, heartbeats: Heartbeats) -> Iterator[None]:
    """Serve `/livez`, `/readyz` and `/metrics` for the length of the context, unless the port is 0.

    Raises:
        SettingsError: the port is taken. Where nobody asked for a certain port, another one serves: a second bridge on
            the same host must not end over it.
    """
    metrics.know(routes(), by_queue())
    if not settings.bridge.health_port:
        yield
        return
    transport = Transport(settings.engine.model_copy(update={"timeout": ANSWER_SECONDS}))
    ledger, registry = Ledger(settings.redis), Registry(settings.redis)
    backlog = BacklogMetrics(partial(backlog_of, transport, tuple(routes())))
    server = HealthServer(
        Answers(
            late=heartbeats.late,
            findings=_readiness(settings, transport, ledger).findings,
            metrics=partial(_scraped, Inquiry("room", partial(_count, settings, ledger, registry), every=ROOM_EVERY)),
        ),
        address=settings.bridge.health_address,
        port=settings.bridge.health_port,
        prefix=PREFIX,
        may_move=not settings.is_set(f"{PREFIX}PORT"),
    )
    server.start()
    backlog.register()
    try:
        yield
    finally:
        server.stop()
        backlog.unregister()


def _readiness(settings: Settings, transport: Transport, ledger: Ledger) -> Readiness:
    return Readiness(
        {
            "engine": HttpEngine(transport).version,
            "broker": partial(_greet, settings.broker),
            "redis": ledger.ping,
        }
    )


def _scraped(room: Inquiry[None]) -> bytes:
    room.reply(ROOM_PATIENCE_SECONDS)
    return metrics.exposition()


def _count(settings: Settings, ledger: Ledger, registry: Registry) -> None:
    """Count bridges, and what is in flight now: a poller that waits at the engine does so only at its next turn."""
    metrics.replicas(len(registry.replicas()))
    for queue in by_queue():
        metrics.in_flight(queue, ledger.in_flight(queue), capacity=settings.bridge.capacity)


def _greet(broker: BrokerSettings) -> None:
    with connect(broker):
        pass
