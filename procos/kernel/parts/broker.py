"""The broker: RabbitMQ where it is installed, else a Valkey server with weaker guarantees, said aloud."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from procos.kernel.part import Name, Part
from procos.kernel.parts import rabbitmq, redis
from procos.kernel.ports import LOOPBACK, moved
from procos.kernel.probes import AmqpProbe, RedisProbe

if TYPE_CHECKING:
    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import BrokerSettings

USUAL_PORT = 5672
WEAKER = (
    "RabbitMQ is not installed, so a Valkey server is the broker. What is weaker: the messages of a worker that dies "
    "wait until the visibility timeout is over, publishing is not confirmed, and there are no dead letters. "
    "`apt-get install rabbitmq-server` mends it, or PROCOS_BROKER_URL."
)


def external_broker(broker: BrokerSettings) -> Part:
    """Describe a broker that runs elsewhere."""
    is_amqp = broker.url.startswith("amqp")
    return Part(
        name=Name.BROKER,
        address=redis.without_credentials(broker.url),
        probe=AmqpProbe(url=broker.url) if is_amqp else RedisProbe(url=broker.url),
        is_external=True,
        set_by="PROCOS_BROKER_URL",
    )


def broker_part(*, folder: StackFolder, ports: Ports, redis_here: Part | None) -> Part:
    """Describe a broker started here; `redis_here` serves as broker too where there is no RabbitMQ."""
    if rabbitmq.is_installed():
        return _rabbitmq(folder=folder, ports=ports)
    if redis_here is not None:
        return _database_of(redis_here)
    return _valkey(folder=folder, ports=ports)


def warnings() -> list[str]:
    """Say what is weaker about a broker started here."""
    return [] if rabbitmq.is_installed() else [WEAKER]


def _rabbitmq(*, folder: StackFolder, ports: Ports) -> Part:
    port = ports.choose(USUAL_PORT)
    inner = rabbitmq.InnerPorts(distribution=ports.choose(), epmd=ports.choose())
    password = folder.secret("broker_password")
    address = f"amqp://{LOOPBACK}:{port}//"
    return Part(
        name=Name.BROKER,
        address=address,
        probe=AmqpProbe(url=address),
        port=port,
        launch=lambda _: rabbitmq.command(folder.data(Name.BROKER), port=port, inner=inner, password=password),
        grace=timedelta(seconds=20),
        provides={"PROCOS_BROKER_URL": f"amqp://{rabbitmq.USER}:{password}@{LOOPBACK}:{port}//"},
        note=moved(USUAL_PORT, port),
    )


def _database_of(server: Part) -> Part:
    base = server.provides["PROCOS_REDIS_URL"].rpartition("/")[0]
    url = f"{base}/{redis.BROKER_DATABASE}"
    return Part(
        name=Name.BROKER,
        address=redis.without_credentials(url),
        probe=RedisProbe(url=url),
        needs=frozenset({Name.REDIS}),
        provides={"PROCOS_BROKER_URL": url},
        note="a database of the redis part",
    )


def _valkey(*, folder: StackFolder, ports: Ports) -> Part:
    port = ports.choose(redis.USUAL_PORT)
    url = redis.server_url(port, redis.BROKER_DATABASE, folder.secret("redis_password"))
    return Part(
        name=Name.BROKER,
        address=redis.without_credentials(url),
        probe=RedisProbe(url=url),
        port=port,
        launch=lambda _: redis.server_command(Name.BROKER, port=port, folder=folder),
        provides={"PROCOS_BROKER_URL": url},
        note=moved(redis.USUAL_PORT, port),
    )
