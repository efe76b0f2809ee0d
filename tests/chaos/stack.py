"""What the cases run against: real services, started once, and a bridge and two workers that reach them by the proxy.

One link per kind of client and service, so that a fault may strike the bridge alone. What a fault does not restart is
started again by the case: `whole` brings everything back.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import redis
from amqp import AMQPError

from procos.domain.errors import BrokerUnreachableError
from procos.queues import Queue, depths
from procos.settings import BrokerSettings, known_names
from tests.chaos.engine_view import EngineView
from tests.chaos.program import Program, ProgramPlan
from tests.chaos.proxy import HOST, FaultProxy
from tests.chaos.services import AnyPorts, engine_on_postgres, port_of, running_services
from tests.local_stack import ROOT, clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from procos.kernel.ports import Ports
    from tests.chaos.postgres import Postgres
    from tests.chaos.proxy import Link
    from tests.chaos.services import Services
    from tests.services import Service

HERE = ROOT / "tests" / "chaos"
MODELS = HERE / "models"
GENERIC_SLOTS, AI_SLOTS = 2, 8
SLOTS = GENERIC_SLOTS + AI_SLOTS
READY_SECONDS = 60.0
BRIDGE, GENERIC, AI = "bridge", "generic", "ai"
TASK_QUEUES = (AI, GENERIC)
USUAL = (BRIDGE, *TASK_QUEUES)
SLOTS_OF = {GENERIC: GENERIC_SLOTS, AI: AI_SLOTS}
MARK = "CHAOS_STACK"
"""In the environment of every program of ours, with the folder as its value."""

SETTINGS = {
    "PROCOS_BRIDGE_REPLICA_ID": "chaos",
    "PROCOS_BRIDGE_LOCK_DURATION": "15",
    "PROCOS_BRIDGE_LOST_AFTER": "10",
    "PROCOS_WORKER_SOFT_SHUTDOWN": "5",
    "PROCOS_LOG_FORMAT": "json",
}


class Stack:
    """The services, the proxy's links, and the programs under test."""

    def __init__(self, folder: Path, services: Services, proxy: FaultProxy, ports: Ports) -> None:
        self.folder, self.services, self.ports = folder, services, ports
        self.engine = services.engine
        self.postgres: Postgres | None = None
        self._other_engine = ExitStack()
        self._proxy = proxy
        self.health_port = ports.choose()
        self.bridge_engine = proxy.link("bridge-engine", port_of(services.engine))
        self.replica_engine = proxy.link("replica-engine", port_of(services.engine))
        self.bridge_broker = proxy.link("bridge-broker", port_of(services.broker))
        self.bridge_redis = proxy.link("bridge-redis", port_of(services.redis))
        self.worker_broker = proxy.link("worker-broker", port_of(services.broker))
        self.worker_redis = proxy.link("worker-redis", port_of(services.redis))
        self.links = (*self.engine_links, *self.links_to(services.broker), *self.links_to(services.redis))
        self.programs: dict[str, Program] = {}
        self._past: list[Program] = []
        self.stubborn: list[str] = []
        self._started = 0
        self.view = EngineView(self.engine.environment["PROCOS_ENGINE_URL"])
        self.redis = redis.Redis.from_url(services.redis.environment["PROCOS_REDIS_URL"], decode_responses=True)
        self.broker = BrokerSettings(url=services.broker.environment["PROCOS_BROKER_URL"])

    @property
    def engine_links(self) -> tuple[Link, ...]:
        """The links of the bridge, and of a second one, to the engine."""
        return (self.bridge_engine, self.replica_engine)

    def links_to(self, service: Service) -> tuple[Link, ...]:
        """Return the links that lead to a service."""
        return {
            self.services.broker: (self.bridge_broker, self.worker_broker),
            self.services.redis: (self.bridge_redis, self.worker_redis),
        }.get(service, self.engine_links)

    def start(
        self,
        name: str,
        environment: Mapping[str, str] | None = None,
        *,
        slots: int | None = None,
        prefix: tuple[str, ...] = (),
    ) -> Program:
        """Start a bridge or a worker; the one before it under this name is remembered until the end.

        The name begins with what it is: `bridge`, or the queue of a worker, which may have other slots than usual.
        """
        if name in self.programs:
            self._past.append(self.programs[name])
        self._started += 1
        plan = self._plan(name, environment or {}, slots or SLOTS_OF.get(_kind(name), 0))
        program = self.programs[name] = replace(plan, prefix=prefix).start()
        return program

    def start_all(self) -> None:
        """Start the bridge and a worker for each queue, and wait until they consume."""
        for name in USUAL:
            self.start(name)
        self.await_consumers()

    def await_consumers(self) -> None:
        """Wait until bridge and workers consume."""
        queues = (*TASK_QUEUES, Queue.CALLBACKS)
        wait_until(lambda: all(map(self.consumers, queues)), seconds=READY_SECONDS, what="bridge and workers consume")

    def consumers(self, queue: str) -> int:
        """Count the consumers of a queue; none while the broker recovers."""
        try:
            return depths(self.broker, [queue])[queue].consumers
        except (BrokerUnreachableError, AMQPError, OSError):
            return 0

    def whole(self) -> None:
        """Undo what a fault may have left: links pass, every usual program lives, and no other does."""
        for link in self.links:
            link.watch()
            link.delay(0.0)
            link.freeze(frozen=False)
            link.accept()
        for name in self.programs.keys() - USUAL:
            self._past.append(stranger := self.programs.pop(name))
            if stranger.lives:
                stranger.kill()
        for name in USUAL:
            if not self.programs[name].lives:
                self.start(name)

    def renew(self) -> None:
        """Replace bridge and workers at once: what a case has broken may not serve the next one."""
        for link in self.links:
            link.reset()
        for program in self.programs.values():
            if program.lives:
                program.kill()
                program.wait()
        self.start_all()

    def stop_programs(self) -> None:
        """End the bridge and the workers."""
        for program in self.programs.values():
            self.stubborn += filter(None, [program.end()])

    def end_past(self) -> list[str]:
        """Make sure that what a fault killed or replaced left no child behind; returns what it did leave."""
        left = [program.end() for program in self._past]
        self._past.clear()
        return [words for words in left if words]

    def leftovers(self) -> list[str]:
        """Name processes of ours that are still there, and those that did not end when asked."""
        return self.stubborn + [f"{process.pid} {process.info['name']}" for process in self._ours()]

    def choose_engine(self, *, on_postgres: bool) -> None:
        """Lead the bridge to the engine on H2 or to one on PostgreSQL, which is kept for as long as it is wanted."""
        if not on_postgres:
            self._other_engine.close()
        elif self.postgres is None:
            self._other_engine.enter_context(self._on_postgres())

    @contextmanager
    def reachable_at(self, host: str) -> Iterator[Mapping[str, str]]:
        """Let broker and Redis be reached at another address of this machine; yields what a worker there is told."""
        services = self.services
        broker = self._proxy.link("host-broker", port_of(services.broker), host=host)
        ledger = self._proxy.link("host-redis", port_of(services.redis), host=host)
        try:
            yield self._addresses(broker, ledger)
        finally:
            broker.refuse()
            ledger.refuse()

    @contextmanager
    def _on_postgres(self) -> Iterator[None]:
        first, view = self.engine, self.view
        with engine_on_postgres(self.folder / "postgres", self.ports) as (engine, postgres):
            self.engine, self.postgres = engine, postgres
            self.view = EngineView(engine.environment["PROCOS_ENGINE_URL"])
            self.view.deploy(MODELS)
            self._lead_to(engine)
            try:
                yield
            finally:
                self.engine, self.view, self.postgres = first, view, None
                self._lead_to(first)

    def _lead_to(self, engine: Service) -> None:
        for link in self.engine_links:
            link.retarget(port_of(engine))

    def _plan(self, name: str, extra: Mapping[str, str], slots: int) -> ProgramPlan:
        kind = _kind(name)
        node = f"{name}-{self._started}@chaos"
        worker = ("celery", "-A", "procos.app", "worker", "-Q", kind, "-c", str(slots), "-n", node)
        return ProgramPlan(
            name=name,
            arguments=("procos", "bridge") if kind == BRIDGE else worker,
            environment={**self._environment(kind), **extra},
            log=self.folder / "logs" / f"{name}.log",
        )

    def _environment(self, kind: str) -> Mapping[str, str]:
        addresses = dict(self._addresses(self.worker_broker, self.worker_redis))
        if kind == BRIDGE:
            addresses = {
                **self._addresses(self.bridge_broker, self.bridge_redis),
                "PROCOS_ENGINE_URL": f"http://{HOST}:{self.bridge_engine.port}/engine-rest",
                "PROCOS_BRIDGE_HEALTH_PORT": str(self.health_port),
            }
        known = {setting: value for setting, value in SETTINGS.items() if setting in known_names()}
        # As the Procfile does: a prefork worker whose whole group is asked to end gives its tasks time.
        style = {"REMAP_SIGTERM": "SIGQUIT"} if kind == GENERIC else {}
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "PYTHONUNBUFFERED": "1"}
        return {**clean_environment(), **known, **addresses, **style, **path, MARK: str(self.folder)}

    def _addresses(self, broker: Link, ledger: Link) -> Mapping[str, str]:
        return {
            "PROCOS_BROKER_URL": _through(broker, self.services.broker, "PROCOS_BROKER_URL"),
            "PROCOS_REDIS_URL": _through(ledger, self.services.redis, "PROCOS_REDIS_URL"),
        }

    def _ours(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["environ", "name"]):
            if (process.info["environ"] or {}).get(MARK) == str(self.folder):
                yield process


def _through(link: Link, service: Service, name: str) -> str:
    """Return a service's address with the link's in place of its own."""
    return service.environment[name].replace(f"{HOST}:{port_of(service)}", f"{link.host}:{link.port}")


def _kind(name: str) -> str:
    return name.partition("-")[0]


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Bring up everything for the length of the block, models deployed."""
    with ExitStack() as running:
        ports = running.enter_context(AnyPorts())
        services = running.enter_context(running_services(folder, ports))
        proxy = FaultProxy()
        running.callback(proxy.close)
        stack = Stack(folder, services, proxy, ports)
        running.callback(stack.choose_engine, on_postgres=False)
        running.callback(stack.end_past)
        running.callback(stack.stop_programs)
        stack.view.deploy(MODELS)
        stack.start_all()
        yield stack
