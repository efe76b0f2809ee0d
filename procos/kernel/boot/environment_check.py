"""The first phase: what the kernel needs and can know of before it starts anything, all of it told at once.

What is wrong on this machine ends the boot at once. Services that run elsewhere may be on their way up, in a Compose
file say, and are waited for.
"""

from __future__ import annotations

import re
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from procos.domain.addresses import without_secrets
from procos.domain.errors import BrokerUnreachableError, DatabaseUnreachableError, LedgerUnreachableError, SettingsError
from procos.kernel.parts.engine import missing_for_engine
from procos.kernel.ports import is_free
from procos.kernel.probes import LIMIT, RedisProbe
from procos.queues import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from procos.domain.errors import UnreachableError
    from procos.settings import BrokerSettings, Settings

LEAST_DISK = 256 * 1024 * 1024
"""Bytes that must be free where the engine keeps its data: an empty H2 file and its logs, with room to act."""
POSTGRESQL_PORT = 5432
PLACE = re.compile(r"(?P<host>\[[^]]+\]|[^:\[\]]+)(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something that must answer before the boot goes on."""

    name: str
    question: Callable[[], str | None]
    error: Callable[[str], UnreachableError]
    is_for_engine: bool = False
    """Whether the engine cannot even start without it."""


def require_sound(settings: Settings, *, state: Path, starts_engine: bool) -> None:
    """Look at this machine.

    Raises:
        SettingsError: something is missing or in the way; names all of it, with the cure.
    """
    problems = list(_room_problems(state, "PROCOS_STATE_DIRECTORY"))
    if starts_engine:
        if settings.engine.data is not None and settings.engine.data.is_dir():
            problems += _room_problems(settings.engine.data, "PROCOS_ENGINE_DATA")
        problems += [*missing_for_engine(settings), *_port_problems(settings)]
    if problems:
        raise SettingsError(problems)


def services(settings: Settings, *, starts_engine: bool) -> Iterator[Service]:
    """List what must answer: broker, Redis, and the database of an engine started here."""
    yield Service(
        name="broker",
        question=lambda: _greeted(settings.broker),
        error=lambda reason: BrokerUnreachableError(without_secrets(settings.broker.url), reason),
    )
    yield Service(
        name="Redis",
        question=RedisProbe(url=settings.redis.url).check,
        error=lambda reason: LedgerUnreachableError(without_secrets(settings.redis.url), reason),
    )
    url = settings.engine.db_url.get_secret_value() if settings.engine.db_url and starts_engine else ""
    if places := database_places(url):
        yield Service(
            name="database",
            is_for_engine=True,
            question=lambda: _one_listens(places),
            error=lambda reason: DatabaseUnreachableError(", ".join(f"{host}:{port}" for host, port in places), reason),
        )


def database_places(url: str) -> Sequence[tuple[str, int]]:
    """Return the hosts and ports in the address of a PostgreSQL database, as we or JDBC write it; none of any other."""
    parts = urlsplit(url.removeprefix("jdbc:"))
    if parts.scheme not in {"postgresql", "postgres"}:
        return ()
    found = [PLACE.fullmatch(place) for place in parts.netloc.rpartition("@")[2].split(",")]
    return [(place["host"].strip("[]"), int(place["port"] or POSTGRESQL_PORT)) for place in found if place]


def _one_listens(places: Sequence[tuple[str, int]]) -> str | None:
    troubles = [_listens(host, port) for host, port in places]
    return None if None in troubles else troubles[0]


def _greeted(broker: BrokerSettings) -> str | None:
    try:
        with connect(broker):
            return None
    except BrokerUnreachableError as error:
        return error.reason


def _listens(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=LIMIT).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _port_problems(settings: Settings) -> Iterator[str]:
    port, address = settings.engine.port, settings.engine.address
    if not is_free(port, address):
        yield f"engine: {address} port {port} cannot be listened on, it may be taken; set PROCOS_ENGINE_PORT"


def _room_problems(folder: Path, setting: str) -> Iterator[str]:
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        least = LEAST_DISK >> 20
        yield f"disk: {free >> 20} MiB are free at {folder}, {least} are needed ({setting})"
