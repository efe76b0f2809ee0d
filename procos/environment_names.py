"""Which names of the environment are settings: the prefix, the aliases of hosting platforms, and what is left alone.

`procos.settings` reads the tree from what `given` returns; this is the only place that looks at the environment.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dotenv import dotenv_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

PREFIX = "PROCOS_"
INJECTED_NAME = r"PROCOS_(?!\w*__)\w+_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$"
"""Two underscores are ours: the `port` of a connection is PROCOS_CONNECTIONS__<NAME>__PORT."""
FOREIGN = re.compile(rf"PROCOS_(TEST_|FAILPOINT_)|{INJECTED_NAME}")
"""Names that are not settings: those of tests, and those Kubernetes injects for a service called `procos-…`."""
INJECTED = re.compile(r"(tcp|udp|sctp)://")
"""What Kubernetes puts into `<SERVICE>_PORT`, which for a service called `procos-engine` is a setting's name too."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "PROCOS_ENGINE_URL": ("CAMUNDA_URL",),
    "PROCOS_ENGINE_DB_URL": ("CAMUNDA_DB_URL", "DATABASE_URL"),
    "PROCOS_ENGINE_DB_USER": ("CAMUNDA_DB_USER",),
    "PROCOS_ENGINE_DB_PASSWORD": ("CAMUNDA_DB_PASSWORD",),
    "PROCOS_BROKER_URL": ("BROKER_URL", "RABBITMQ_URL", "CLOUDAMQP_URL"),
    "PROCOS_REDIS_URL": ("REDIS_URL",),
    "PROCOS_OPENAI_API_KEY": ("OPENAI_API_KEY",),
    "PROCOS_OPENAI_BASE_URL": ("OPENAI_BASE_URL",),
    "PROCOS_OLLAMA_URL": ("OLLAMA_URL",),
    "PROCOS_WORKER_CONCURRENCY": ("WEB_CONCURRENCY",),
}


def given(environ: Mapping[str, str] | None, dotenv: Path | None, *, known: Collection[str]) -> dict[str, str]:
    """Return every PROCOS_ name that is set, by itself or by an alias; the environment wins over `.env`."""
    from_file = {k: v for k, v in dotenv_values(dotenv).items() if v is not None} if dotenv else {}
    everything = {**from_file, **_environment(environ)}
    found = {
        name: value for name, value in everything.items() if name.startswith(PREFIX) and _is_ours(name, value, known)
    }
    for name, aliases in ALIASES.items():
        for alias in aliases:
            if everything.get(alias):
                found.setdefault(name, everything[alias])
    return found


def alias_conflicts(environ: Mapping[str, str] | None = None) -> list[str]:
    """One warning for every alias that says something else than the PROCOS_ name it stands for."""
    environment = _environment(environ)
    return [
        f"{name} and {alias} are both set and differ: {name} is used"
        for name, aliases in ALIASES.items()
        for alias in aliases
        if name in environment and alias in environment and environment[name] != environment[alias]
    ]


def _environment(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ  # noqa: TID251  # the one place


def _is_ours(name: str, value: str, known: Collection[str]) -> bool:
    """Whether a PROCOS_ name is meant for us; one that is set to nothing counts as not set."""
    if name in known:
        return value != "" and not (name.endswith("_PORT") and INJECTED.match(value))
    return value != "" and not FOREIGN.match(name)
