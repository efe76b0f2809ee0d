"""Our own programs: the bridge and the workers, and Flower, which is a command of the same Celery app.

They get the addresses and credentials of all parts through their environment, never on a command line.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import SettingsError
from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.ports import LOOPBACK, moved
from procos.kernel.probes import ConsumerProbe, HttpProbe
from procos.queues import Queue
from procos.routes import by_queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import Settings

CELERY = ("celery", "-A", "procos.app")
QUIET = ("--without-gossip", "--without-mingle")
MARGIN = timedelta(seconds=5)
UNCOUNTED = timedelta(seconds=4)
"""How long a program must live to count as up where the broker cannot say whether it consumes."""
FLOWER_COLUMNS = "name,uuid,state,kwargs,result,received,started,runtime,worker"
FLOWER_TASKS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What our programs are started in: where the services are, and the settings that follow from it."""

    provided: Mapping[str, str]
    settings: Settings
    directory: Path


def bridge_part(around: Surroundings) -> Part:
    """Describe the bridge."""
    return _program(
        Name.BRIDGE,
        around,
        python("procos", "bridge"),
        needs={Name.ENGINE, Name.BROKER, Name.REDIS},
        queues=(Queue.CALLBACKS,),
        seconds=around.settings.bridge.drain_timeout,
    )


def ai_worker(around: Surroundings) -> Part:
    """Describe the worker for AI steps."""
    return _worker(Name.WORKER_AI, around, (Queue.AI,))


def generic_worker(around: Surroundings) -> Part:
    """Describe the worker for all other queues, those of third parties included."""
    return _worker(Name.WORKER_GENERIC, around, tuple(sorted(set(by_queue()) - {Queue.AI, Queue.CALLBACKS})))


def flower_part(around: Surroundings, *, folder: StackFolder, ports: Ports) -> Part:
    """Describe Flower, behind a login and read-only."""
    flower = around.settings.flower
    port = ports.choose(flower.port)
    address = f"http://{LOOPBACK}:{port}/"
    password, where = (
        (flower.password.get_secret_value(), "PROCOS_FLOWER_PASSWORD")
        if flower.password
        else (folder.secret("flower_password"), str(folder.secret_file("flower_password")))
    )
    if {",", ":"} & set(flower.user) or "," in password:
        # Flower splits its list of logins at commas, and a login at its first colon.
        raise SettingsError(["PROCOS_FLOWER_USER and PROCOS_FLOWER_PASSWORD: without commas, the user without colons"])
    environment = {**around.provided, **_flower_environment(port, f"{flower.user}:{password}")}
    return Part(
        name=Name.FLOWER,
        address=address,
        probe=HttpProbe(url=f"{address}healthcheck"),
        port=port,
        needs=frozenset({Name.BROKER}),
        launch=lambda _: Command(
            arguments=python(*CELERY, "flower"),
            environment=own_environment(environment),
            directory=around.directory,
        ),
        provides={"PROCOS_FLOWER_PORT": str(port)},
        note=", ".join(filter(None, [f"user {flower.user}, password in {where}", moved(flower.port, port)])),
    )


def missing_for_flower() -> Iterator[str]:
    """Name what Flower would need and does not find, with the cure."""
    if importlib.util.find_spec("flower") is None:
        yield "flower: not installed: pip install flower, or leave it out with --only"


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
        note=f"takes from {', '.join(queues)}",
        settle=timedelta() if broker.url.startswith("amqp") else UNCOUNTED,
    )


def _flower_environment(port: int, login: str) -> dict[str, str]:
    return {
        "FLOWER_ADDRESS": LOOPBACK,
        "FLOWER_PORT": str(port),
        "FLOWER_BASIC_AUTH": login,
        "FLOWER_READ_ONLY": "true",
        "FLOWER_TASKS_COLUMNS": FLOWER_COLUMNS,
        "FLOWER_MAX_TASKS": str(FLOWER_TASKS),
        # Flower would else execute a flowerconfig.py it finds in the folder it is started in.
        "FLOWER_CONF": os.devnull,
    }
