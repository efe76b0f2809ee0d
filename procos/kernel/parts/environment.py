"""The environments processes are started with: whole for our own programs, without our secrets for services."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from procos.environment_names import ALIASES, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREIGN_NAMES = frozenset(alias for aliases in ALIASES.values() for alias in aliases)
SERVICE_PREFIXES = (PREFIX, "RABBITMQ_", "ERL_", "FLOWER_")
SYSTEMD_SOCKET = "NOTIFY_SOCKET"
"""A service that found it would report its own readiness as if it were ours."""


def own_environment(provided: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of our own programs: the user's, and above it where the parts are."""
    inherited = {**_inherited(), **provided}
    inherited.pop(SYSTEMD_SOCKET, None)
    # A log that is written at once is worth more than a fast one.
    return {**inherited, "PYTHONUNBUFFERED": "1"}


def service_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a service: the user's without what concerns ProcOS or would configure the service."""
    kept = {
        name: value
        for name, value in _inherited().items()
        if not name.startswith(SERVICE_PREFIXES) and name not in FOREIGN_NAMES and name != SYSTEMD_SOCKET
    }
    return {**kept, **extra}


def python(*arguments: str) -> tuple[str, ...]:
    """Return a command that runs a module with the interpreter that runs us."""
    return (sys.executable, "-m", *arguments)


def _inherited() -> dict[str, str]:
    # A child's environment is built from ours; settings are still read in procos.settings alone.
    return dict(os.environ)  # noqa: TID251
