"""Looks at the services ProcOS itself is made of: engine, broker, Redis and the blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis

from procos.blobs import blob_store
from procos.cli.doctor.findings import Finding, Health
from procos.domain.addresses import without_secrets
from procos.engine.access import is_let_in
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.queues import SHELF, depths
from procos.routes import by_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def engine_findings(chosen: Settings) -> Iterator[Finding]:
    """Ask for its version, and say what it lacks."""
    engine = HttpEngine(Transport(chosen.engine))
    yield Finding(check="engine", health=Health.GOOD, text=f"version {engine.version()} at {chosen.engine.url}")
    if not engine.knows_json:
        yield Finding(
            check="engine",
            health=Health.WARNING,
            text="the engine has no Spin: lists and dicts are stored as text of at most 4,000 characters",
            cure="add the engine's Spin plug-in",
        )
    if not is_let_in(chosen.engine) and urlsplit(chosen.engine.url).hostname not in LOOPBACK:
        yield Finding(
            check="engine",
            health=Health.WARNING,
            text="the engine answers without credentials, and whoever may deploy to it may run code in it",
            cure="switch its authentication on, then set PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD",
        )


def broker_findings(chosen: Settings) -> Iterator[Finding]:
    """Ask for the queues of the routes, and who takes from them."""
    found = depths(chosen.broker, by_queue())
    yield Finding(check="broker", health=Health.GOOD, text=f"answers; queues {', '.join(found)}")
    if not chosen.broker.url.startswith("amqp"):
        yield Finding(
            check="broker",
            health=Health.WARNING,
            text="Redis as broker: no confirms, no dead letters, and a dead worker's tasks wait a minute longer",
            cure="use RabbitMQ in production",
        )
        return
    if waiting := depths(chosen.broker, [SHELF])[SHELF].ready:
        yield Finding(
            check="broker",
            health=Health.WARNING,
            text=f"{waiting} dead letters wait for somebody to look",
            cure="procos dead-letters",
        )
    for name, depth in found.items():
        if depth.missing or not depth.consumers:
            yield Finding(
                check="broker",
                health=Health.WARNING,
                text=f"no worker consumes queue {name}; {depth.ready} tasks wait",
                cure=f"celery -A procos.app worker -Q {name}",
            )


def redis_findings(chosen: Settings) -> Iterator[Finding]:
    """Ask whether it keeps what it is told."""
    client = redis.Redis.from_url(chosen.redis.url, decode_responses=True, socket_timeout=chosen.redis.timeout)
    try:
        facts = client.info()
    except redis.RedisError as error:
        address = without_secrets(chosen.redis.url)
        cure = "start it with `procos up`, or set PROCOS_REDIS_URL"
        yield Finding(check="redis", health=Health.UNREACHABLE, text=f"{address}: {error}", cure=cure)
        return
    yield Finding(check="redis", health=Health.GOOD, text=f"version {facts['redis_version']} answers")
    if not facts.get("aof_enabled"):
        yield Finding(
            check="redis",
            health=Health.WARNING,
            text="Redis does not persist every change: after a crash steps in flight may run a second time",
            cure="set appendonly yes",
        )
    if str(facts.get("maxmemory_policy", "noeviction")) != "noeviction":
        yield Finding(
            check="redis",
            health=Health.BAD,
            text=f"Redis evicts keys when memory is full ({facts['maxmemory_policy']}), the ledger's among them",
            cure="set maxmemory-policy noeviction",
        )


def blobs_findings(chosen: Settings) -> Iterator[Finding]:
    """Write and read the store, where there is one."""
    if chosen.blobs.url is None:
        return
    store = blob_store(chosen.blobs)
    store.probe()
    yield Finding(check="blobs", health=Health.GOOD, text=f"can be written and read at {store.address}")
