"""What the cases run against: real services, started once, and a bridge and two workers that reach them by the proxy.

Five links, one per kind of client and service, so that a fault may strike the bridge alone. Whatever is not restarted
by its fault is started again by the case; `whole` says when everything is back.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
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
        self.health_port = ports.choose()
        self.bridge_engine = proxy.link("bridge-engine", port_of(services.engine))
        self.bridge_broker = proxy.link("bridge-broker", port_of(services.broker))
        self.bridge_redis = proxy.link("bridge-redis", port_of(services.redis))
        self.worker_broker = proxy.link("worker-broker", port_of(services.broker))
        self.worker_redis = proxy.link("worker-redis", port_of(services.redis))
        self.programs: dict[str, Program] = {}
        self._past: list[Program] = []
        self.stubborn: list[str] = []
        self._started = 0
        self.view = EngineView(self.engine.environment["PROCOS_ENGINE_URL"])
        self.redis = redis.Redis.from_url(services.redis.environment["PROCOS_REDIS_URL"], decode_responses=True)
        self.broker = BrokerSettings(url=services.broker.environment["PROCOS_BROKER_URL"])

    def links_to(self, service: Service) -> tuple[Link, ...]:
        """Return the links that lead to a service."""
        return {
            self.services.broker: (self.bridge_broker, self.worker_broker),
            self.services.redis: (self.bridge_redis, self.worker_redis),
        }.get(service, (self.bridge_engine,))

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> Program:
        """Start the bridge or a worker; the one before it is remembered until the end."""
        if name in self.programs:
            self._past.append(self.programs[name])
        self._started += 1
        program = self.programs[name] = self._plan(name, environment or {}).start()
        return program

    def start_all(self) -> None:
        """Start the bridge and a worker for each queue, and wait until they consume."""
        for name in (BRIDGE, *TASK_QUEUES):
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
        """Undo what a fault may have left: links pass, and every program lives."""
        for link in (self.bridge_engine, *self.links_to(self.services.broker), *self.links_to(self.services.redis)):
            link.watch()
            link.delay(0.0)
            link.freeze(frozen=False)
            link.accept()
        for name in (BRIDGE, *TASK_QUEUES):
            if not self.programs[name].lives:
                self.start(name)

    def renew(self) -> None:
        """Replace bridge and workers at once: what a case has broken may not serve the next one."""
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

    @contextmanager
    def on_postgres(self) -> Iterator[Service]:
        """Lead the bridge to another engine, on PostgreSQL, for the length of the block."""
        first, view = self.engine, self.view
        with engine_on_postgres(self.folder / "postgres", self.ports) as engine:
            self.engine = engine
            self.view = EngineView(engine.environment["PROCOS_ENGINE_URL"])
            self.view.deploy(MODELS)
            self.bridge_engine.retarget(port_of(engine))
            try:
                yield engine
            finally:
                self.engine, self.view = first, view
                self.bridge_engine.retarget(port_of(first))

    def _plan(self, name: str, extra: Mapping[str, str]) -> ProgramPlan:
        slots = {GENERIC: GENERIC_SLOTS, AI: AI_SLOTS}.get(name)
        node = f"{name}-{self._started}@chaos"
        worker = ("celery", "-A", "procos.app", "worker", "-Q", name, "-c", str(slots), "-n", node)
        return ProgramPlan(
            name=name,
            arguments=worker if slots else ("procos", "bridge"),
            environment={**self._environment(name), **extra},
            log=self.folder / "logs" / f"{name}.log",
        )

    def _environment(self, name: str) -> Mapping[str, str]:
        broker, ledger = (self.worker_broker, self.worker_redis)
        addresses = {}
        if name == BRIDGE:
            broker, ledger = self.bridge_broker, self.bridge_redis
            addresses = {
                "PROCOS_ENGINE_URL": f"http://{HOST}:{self.bridge_engine.port}/engine-rest",
                "PROCOS_BRIDGE_HEALTH_PORT": str(self.health_port),
            }
        addresses["PROCOS_BROKER_URL"] = _through(broker, self.services.broker, "PROCOS_BROKER_URL")
        addresses["PROCOS_REDIS_URL"] = _through(ledger, self.services.redis, "PROCOS_REDIS_URL")
        known = {setting: value for setting, value in SETTINGS.items() if setting in known_names()}
        # As the Procfile does: a prefork worker whose whole group is asked to end gives its tasks time.
        style = {"REMAP_SIGTERM": "SIGQUIT"} if name == GENERIC else {}
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "PYTHONUNBUFFERED": "1"}
        return {**clean_environment(), **addresses, **known, **style, **path, MARK: str(self.folder)}

    def _ours(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["environ", "name"]):
            if (process.info["environ"] or {}).get(MARK) == str(self.folder):
                yield process


def _through(link: Link, service: Service, name: str) -> str:
    """Return a service's address with the link's port in place of its own."""
    return service.environment[name].replace(f"{HOST}:{port_of(service)}", f"{HOST}:{link.port}")


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Bring up everything for the length of the block, models deployed."""
    with ExitStack() as running:
        ports = running.enter_context(AnyPorts())
        services = running.enter_context(running_services(folder, ports))
        proxy = FaultProxy()
        running.callback(proxy.close)
        stack = Stack(folder, services, proxy, ports)
        running.callback(stack.end_past)
        running.callback(stack.stop_programs)
        stack.view.deploy(MODELS)
        stack.start_all()
        yield stack
