"""The services of the suite: engine, RabbitMQ and Redis, the very parts the local stack is made of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.kernel.parts.broker import broker_part
from procos.kernel.parts.engine import engine_part
from procos.kernel.parts.redis import redis_part
from procos.kernel.ports import Ports
from procos.kernel.state import StackFolder
from procos.settings import load_settings
from tests.chaos.postgres import running_cluster
from tests.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.postgres import Postgres


class AnyPorts(Ports):
    """Never the usual port: another stack on this machine may be about to take it."""

    def choose(self, usual: int | None = None) -> int:  # noqa: ARG002  # the point of the class
        """Return a free port."""
        return super().choose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The three services, each of which may be stopped, killed and started again."""

    engine: Service
    broker: Service
    redis: Service


@contextmanager
def running_services(folder: Path, ports: Ports) -> Iterator[Services]:
    """Run all three, started side by side, for the length of the block."""
    stack = StackFolder(folder)
    stack.create()
    services = Services(
        engine=Service(engine_part(load_settings({}, dotenv=None), folder=stack, ports=ports), stack.log("engine")),
        broker=Service(broker_part(folder=stack, ports=ports, redis_here=None), stack.log("broker")),
        redis=Service(redis_part(folder=stack, ports=ports), stack.log("redis")),
    )
    every = (services.engine, services.broker, services.redis)
    with ExitStack() as running:
        for service in every:
            running.callback(service.stop)
        with ThreadPoolExecutor(len(every)) as threads:
            for started in [threads.submit(service.start) for service in every]:
                started.result()
        yield services


@contextmanager
def engine_on_postgres(folder: Path, ports: Ports) -> Iterator[tuple[Service, Postgres]]:
    """Run a PostgreSQL and an engine on it for the length of the block."""
    stack = StackFolder(folder)
    stack.create()
    with running_cluster(ports.choose()) as postgres:
        settings = load_settings({"PROCOS_ENGINE_DB_URL": postgres.address}, dotenv=None)
        engine = Service(engine_part(settings, folder=stack, ports=ports), stack.log("engine"))
        try:
            yield engine.start(), postgres
        finally:
            engine.stop()


def port_of(service: Service) -> int:
    """Return the port a service listens on."""
    if service.part.port is None:
        raise ValueError(f"{service.part.name} is not one of ours")
    return service.part.port
