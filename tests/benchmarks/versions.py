"""What was measured on: the machine, and the version of everything that took part."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis
import requests
from kombu import Connection

import procos
from tests.benchmarks.contenders.peers import OPERATON_CLIENT, PYTHON3_CLIENT
from tests.benchmarks.contenders.tools import HERE, MissingError, go_program

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

COMMAND_SECONDS = 30.0
GIBIBYTE = 2**30


def machine() -> dict[str, str]:
    """Describe the machine."""
    model = re.search(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return {
        "cores": str(os.cpu_count()),
        "processor": model[1] if model else platform.machine(),
        "memory": f"{psutil.virtual_memory().total / GIBIBYTE:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def of_programs() -> dict[str, str]:
    """Return the versions of what was built and installed."""
    javascript = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    return {
        "ProcOS": procos.__version__,
        "Python": platform.python_version(),
        "Celery": importlib.metadata.version("celery"),
        "kombu": importlib.metadata.version("kombu"),
        "Java": _said("java", "-version"),
        "Go": _said(_go(), "version"),
        "Node.js": _said("node", "--version"),
        **javascript,
        **_pinned(PYTHON3_CLIENT),
        **_pinned(OPERATON_CLIENT),
    }


def of_services(stand: Stand) -> dict[str, str]:
    """Return the versions of the services, by asking them."""
    with Connection(stand.environment["PROCOS_BROKER_URL"]) as broker:
        broker.ensure_connection(max_retries=1)
        rabbitmq = str(broker.connection.server_properties["version"])
    server = redis.Redis.from_url(stand.environment["PROCOS_REDIS_URL"], decode_responses=True)
    with server:
        store = str(server.info("server")["redis_version"])
    engine = requests.get(f"{stand.rest}/version", timeout=COMMAND_SECONDS).json()["version"]
    return {"engine": f"Camunda {engine}", "RabbitMQ": rabbitmq, "Redis": store, **_postgres()}


def _postgres() -> dict[str, str]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parents[1].name))
    program = str(found[-1]) if found else shutil.which("postgres")
    return {"PostgreSQL": _said(program, "--version")} if program else {}


def _pinned(client: str) -> dict[str, str]:
    lines = (HERE / f"{client}.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and line.startswith(("camunda", "operaton")))


def _go() -> str:
    try:
        return go_program()
    except MissingError:
        return "go"


def _said(*command: str) -> str:
    """Return the version a program names first, or that it is missing."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if found := re.search(r"\d+(\.\d+)+", done.stdout + done.stderr):
            return found[0]
    return "missing"


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text("utf-8")
    return ""
