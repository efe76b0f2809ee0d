"""How RabbitMQ is run as a child of ours: by its own start script, as the current user, on loopback, in little memory.

The command the distribution puts on the path switches to the user `rabbitmq` and to the system's node; the script it
calls does neither. The node has its own folder, its own Erlang cookie and its own port mapper, so it knows nothing of a
RabbitMQ that runs as a service. Sources: RabbitMQ documentation, "Configuration", "Networking" and "Runtime Tuning".
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from procos.kernel.part import Command
from procos.kernel.parts.environment import service_environment
from procos.kernel.ports import LOOPBACK
from procos.kernel.state import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

USER = "procos"
DEBIAN_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PORT_MAPPER = "epmd"
START = f'{PORT_MAPPER} & exec "$0"'
"""The node's port mapper runs in its process group and ends with it, instead of staying behind as a daemon."""

SALT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerPorts:
    """Ports the node talks to itself on."""

    distribution: int
    epmd: int


def is_installed() -> bool:
    """Whether a RabbitMQ can be started here."""
    return _script() is not None


def command(home: Path, *, port: int, inner: InnerPorts, password: str) -> Command:
    """Write the node's configuration and return the command that runs it."""
    write_private(home / "rabbitmq.conf", _configuration(port, home))
    write_private(home / "definitions.json", json.dumps(_definitions(password)))
    write_private(home / "enabled_plugins", "[].\n")
    write_private(home / "rabbitmq-env.conf", "")
    return Command(
        arguments=("/bin/sh", "-c", START, _script() or str(DEBIAN_SCRIPT)),
        environment=service_environment(**_environment(home, inner)),
        directory=home,
    )


def _script() -> str | None:
    return str(DEBIAN_SCRIPT) if DEBIAN_SCRIPT.exists() else shutil.which("rabbitmq-server")


def _configuration(port: int, home: Path) -> str:
    return "\n".join([
        f"listeners.tcp.1 = {LOOPBACK}:{port}",
        f"load_definitions = {home}/definitions.json",
        "vm_memory_high_watermark.relative = 0.2",
        "disk_free_limit.absolute = 200MB",
        # The log that quorum queues write to is kept in memory up to this size; the default is 512 MB.
        "raft.wal_max_size_bytes = 67108864",
        "log.file = false",
        "log.console = true",
        "log.console.level = info",
        # Each health check opens and closes a connection, which is no news.
        "log.connection.level = error",
        "",
    ])  # fmt: skip


def _definitions(password: str) -> Mapping[str, object]:
    """Describe the one user; read at every start, so that a password made anew is valid for old data too."""
    salt = os.urandom(SALT_BYTES)
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": USER,
                "password_hash": digest,
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
                "limits": {},
            }
        ],
        "permissions": [{"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    }


def _environment(home: Path, inner: InnerPorts) -> Mapping[str, str]:
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "procos@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_DIST_PORT": str(inner.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MAX_NUMBER_OF_PROCESSES": "131072",
        "ERL_MAX_PORTS": "4096",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(inner.epmd),
        "ERL_AFLAGS": "-start_epmd false",
        # The script then becomes the node instead of waiting for it, so that our signals reach the node itself.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
