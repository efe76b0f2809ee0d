"""Our own programs: the bridge and the workers.

They get the addresses and credentials of all parts through their environment, never on a command line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.ports import moved
from procos.kernel.probes import ConsumerProbe
from procos.queues import Queue
from procos.routes import by_queue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from procos.kernel.ports import Ports
    from procos.settings import BridgeSettings, Settings

HEALTH_PORT = "PROCOS_BRIDGE_HEALTH_PORT"
CELERY = ("celery", "-A", "procos.app")
QUIET = ("--without-gossip", "--without-mingle")
MARGIN = timedelta(seconds=5)
UNCOUNTED = timedelta(seconds=4)
"""How long a program must live to count as up where the broker cannot say whether it consumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What our programs are started in: where the services are, and the settings that follow from it."""

    provided: Mapping[str, str]
    settings: Settings
    directory: Path


def bridge_part(around: Surroundings, *, ports: Ports) -> Part:
    """Describe the bridge, whose health is served at a port of its own unless that is switched off.

    The port is told to nobody else: a bridge started by hand beside it must not want the same.
    """
    bridge = around.settings.bridge
    part = _program(
        Name.BRIDGE,
        around,
        python("procos", "bridge"),
        needs={Name.ENGINE, Name.BROKER, Name.REDIS},
        queues=(Queue.CALLBACKS,),
        seconds=bridge.drain_timeout,
        extra={HEALTH_PORT: str(port)} if (port := _health_port(bridge, ports)) else None,
    )
    if not port:
        return part
    host = f"[{bridge.health_address}]" if ":" in bridge.health_address else bridge.health_address
    note = ", ".join(filter(None, [part.note, moved(bridge.health_port, port)]))
    return replace(part, address=f"http://{host}:{port}/", port=port, note=note)


def _health_port(bridge: BridgeSettings, ports: Ports) -> int:
    return ports.choose(bridge.health_port) if bridge.health_port else 0


def ai_worker(around: Surroundings) -> Part:
    """Describe the worker for AI steps."""
    return _worker(Name.WORKER_AI, around, (Queue.AI,))


def generic_worker(around: Surroundings) -> Part:
    """Describe the worker for all other queues, those of third parties included."""
    return _worker(Name.WORKER_GENERIC, around, tuple(sorted(set(by_queue()) - {Queue.AI, Queue.CALLBACKS})))


def _worker(name: Name, around: Surroundings, queues: tuple[str, ...]) -> Part:
    return _program(
        name,
        around,
        python(*CELERY, "worker", "-Q", ",".join(queues), "-n", f"{name}@%h", *QUIET),
        needs={Name.BROKER, Name.REDIS},
        queues=queues,
        seconds=around.settings.worker.soft_shutdown,
        # A worker asked to end gives its tasks the soft limit and hands back the rest, instead of waiting for all.
        extra={"REMAP_SIGTERM": "SIGQUIT"},
    )


def _program(
    name: Name,
    around: Surroundings,
    arguments: tuple[str, ...],
    *,
    needs: set[Name],
    queues: tuple[str, ...],
    seconds: float,
    extra: Mapping[str, str] | None = None,
) -> Part:
    broker = around.settings.broker
    return Part(
        name=name,
        address="",
        probe=ConsumerProbe(broker=broker, queues=queues),
        needs=frozenset(needs),
        launch=lambda _: Command(
            arguments=arguments,
            environment=own_environment({**around.provided, **(extra or {})}),
            directory=around.directory,
        ),
        grace=timedelta(seconds=seconds) + MARGIN,
        is_ours=True,
        note=f"takes from {', '.join(queues)}",
        settle=timedelta() if broker.url.startswith("amqp") else UNCOUNTED,
    )
