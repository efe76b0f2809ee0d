"""What every contender runs against: an engine on one database, RabbitMQ and Redis, the very parts `procos up` starts.

RabbitMQ and Redis live as long as the benchmark; each kind of engine is started for its scenarios and stopped again.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from procos.kernel.parts.broker import broker_part
from procos.kernel.parts.engine import engine_part
from procos.kernel.parts.redis import redis_part
from procos.kernel.state import StackFolder
from procos.settings import load_settings
from tests.benchmarks.processes import cpu_seconds, listener
from tests.chaos.postgres import running_postgres
from tests.chaos.services import AnyPorts, port_of
from tests.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from procos.kernel.part import Part

HEAP = "2g"
IN_MEMORY = "jdbc:h2:mem:bench;DB_CLOSE_DELAY=-1"
H2, H2_FILE, POSTGRES = "h2", "h2-file", "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """An engine of the benchmark: on which database."""

    database: str

    @property
    def text(self) -> str:
        """The engine in words."""
        database = {H2: "H2 in memory", H2_FILE: "H2 in a file", POSTGRES: "PostgreSQL"}[self.database]
        return f"the engine on {database}"


class Stand:
    """Running services: where they answer, and which processes they are."""

    def __init__(self, engine: Service, environment: Mapping[str, str], pids: Mapping[str, int]) -> None:
        self.engine, self.environment, self._pids = engine, environment, dict(pids)

    @property
    def rest(self) -> str:
        """The engine's REST root."""
        return self.environment["PROCOS_ENGINE_URL"]

    def cpu(self) -> dict[str, float]:
        """Return the seconds of CPU each service has used."""
        return {part: cpu_seconds([pid]) for part, pid in self._pids.items()}


class Services:
    """RabbitMQ and Redis, and engines as they are asked for; all ports are free ones of the loopback interface."""

    def __init__(self, folder: Path, ports: AnyPorts, jar: Path | None) -> None:
        self._folder, self._ports, self._jar = folder, ports, jar
        stack = StackFolder(folder / "services")
        stack.create()
        self._broker = Service(broker_part(folder=stack, ports=ports, redis_here=None), stack.log("broker"))
        self._redis = Service(redis_part(folder=stack, ports=ports), stack.log("redis"))
        self._engines = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run RabbitMQ and Redis for the length of the block."""
        try:
            _started(self._redis)
            _started(self._broker)
            yield
        finally:
            self._broker.stop()
            self._redis.stop()

    @contextmanager
    def stand(self, kind: EngineKind) -> Iterator[Stand]:
        """Run an engine, and its database, for the length of the block."""
        if kind.database != POSTGRES:
            with self._engine(IN_MEMORY if kind.database == H2 else None) as engine:
                yield self._stand(engine)
            return
        port = self._ports.choose()
        with running_postgres(port) as address, self._engine(address) as engine:
            yield self._stand(engine, database=listener(port))

    @contextmanager
    def _engine(self, address: str | None) -> Iterator[Service]:
        self._engines += 1
        stack = StackFolder(self._folder / f"engine-{self._engines}")
        stack.create()
        names = {"PROCOS_ENGINE_HEAP": HEAP, "PROCOS_ENGINE_DB_URL": address, "PROCOS_ENGINE_JAR": self._jar}
        settings = load_settings({name: str(value) for name, value in names.items() if value}, dotenv=None)
        engine = _made(engine_part(settings, folder=stack, ports=self._ports), stack.log("engine"))
        try:
            yield _started(engine)
        finally:
            engine.stop()

    def _stand(self, engine: Service, **more: int) -> Stand:
        services = {"engine": engine, "broker": self._broker, "redis": self._redis}
        environment = {name: value for service in services.values() for name, value in service.environment.items()}
        pids = {part: listener(port_of(service)) for part, service in services.items()}
        return Stand(engine, environment, {**pids, **more})


def _made(part: Part, log: Path) -> Service:
    """Make a service, and build what it runs.

    Raises:
        RuntimeError: it cannot be built.
    """
    with _outside_tests():
        return Service(part, log)


def _started(service: Service) -> Service:
    """Start a service.

    Raises:
        RuntimeError: it does not come up.
    """
    with _outside_tests():
        return service.start()


@contextmanager
def _outside_tests() -> Iterator[None]:
    """Make an error of what would end or skip a test: services are made for tests."""
    try:
        yield
    except (pytest.fail.Exception, pytest.skip.Exception) as error:
        raise RuntimeError(str(error)) from None
