"""What the cases ran on: the versions of all parts, as the running parts tell them, and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil

import procos
from procos.queues import connect
from tests.chaos import postgres
from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.stack import Stack

GIT_SECONDS = 10.0
GIB = 2**30


def versions_of(stack: Stack) -> Mapping[str, str]:
    """Ask every part; PostgreSQL is not running yet, and may not be there."""
    return {
        "ProcOS": f"{procos.__version__}, commit of {_commit_date()}",
        "engine": f"Camunda {stack.view.version()}",
        "RabbitMQ": _rabbitmq(stack),
        "Redis": str(stack.redis.info("server")["redis_version"]),
        "PostgreSQL": _postgres(),
        "Celery": version("celery"),
        "kombu": version("kombu"),
        "Python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / GIB:.0f} GB, {platform.system()}",
    }


def _rabbitmq(stack: Stack) -> str:
    with connect(stack.broker) as connection:
        amqp: Any = connection.connection
        return str(amqp.server_properties["version"])


def _postgres() -> str:
    try:
        return postgres.version()
    except RuntimeError:
        return "not installed"


def _commit_date() -> str:
    """Return the day of the last commit, and say if files differ from it."""
    return (_git("log", "-1", "--format=%cs") or "unknown date") + (" and changes since" if _changes() else "")


def _changes() -> str:
    return _git("status", "--porcelain", "--untracked-files=no")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
