"""What each part is asked before it counts as healthy; the questions are those a first call would ask.

| part | is healthy when |
|---|---|
| `engine` | it names its version, with the credentials that are set here; or `PROCOS_ENGINE_URL` is not set |
| `broker` | it answers, and a worker takes from every queue of the routes |
| `redis` | it answers |
| `bridge` | at least one holds its replica id |

A worker needs no engine for its own work, so it may not be told where one is. That a step has come to it is then the
best sign of life there is. Addresses are named without credentials.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import redis

from procos import ledger_keys as keys
from procos.domain.addresses import without_secrets
from procos.engine.http import HttpEngine
from procos.engine.transport import Transport
from procos.queues import Queue, depths
from procos.routes import by_queue
from tasks import store

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from procos.queues import QueueDepth
    from procos.settings import RedisSettings, Settings
    from tasks.system.parts_state import Check

ENGINE_SECONDS = 5.0


def part_checks(settings: Settings) -> Mapping[str, Check]:
    """Return the check of every part."""
    return {
        "engine": partial(engine_trouble, settings),
        "broker": partial(broker_trouble, settings),
        "redis": partial(redis_trouble, settings.redis),
        "bridge": partial(bridge_trouble, settings.redis),
    }


def engine_trouble(settings: Settings) -> str | None:
    """Ask the engine for its version, where it is known.

    Raises:
        EngineUnreachableError, EngineError, SettingsError: it does not say, and why.
    """
    if settings.is_set("PROCOS_ENGINE_URL"):
        HttpEngine(Transport(settings.engine.model_copy(update={"timeout": ENGINE_SECONDS}))).version()
    return None


def broker_trouble(settings: Settings) -> str | None:
    """Ask the broker for the queues of the routes; returns which of them no worker takes from.

    Raises:
        BrokerUnreachableError: it does not answer.
    """
    queues = sorted(set(by_queue()) - {Queue.CALLBACKS})
    found = depths(settings.broker, queues)
    unserved = unconsumed(found) if _counts_consumers(settings) else without_slots(settings.redis, queues)
    return f"no worker takes from {', '.join(unserved)}" if unserved else None


def redis_trouble(settings: RedisSettings) -> str | None:
    """Ask Redis for a sign of life."""
    try:
        store.client(settings.url).ping()
    except redis.RedisError as error:
        return _unanswered(settings, error)
    return None


def bridge_trouble(settings: RedisSettings) -> str | None:
    """Ask Redis whether any bridge holds its replica id."""
    try:
        return None if live_bridges(store.client(settings.url)) else "no bridge runs; start one with `procos bridge`"
    except redis.RedisError as error:
        return f"not known: {_unanswered(settings, error)}"


def live_bridges(client: redis.Redis) -> frozenset[str]:
    """Return the replica ids that bridges hold.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    holders = client.smembers(keys.HOLDERS)
    replicas = {keys.replica_of(each.decode() if isinstance(each, bytes) else each) for each in holders}
    return frozenset(each for each in replicas if client.exists(keys.replica(each)))


def unconsumed(found: Mapping[str, QueueDepth]) -> list[str]:
    """Return the queues nobody takes from."""
    return sorted(name for name, depth in found.items() if depth.missing or not depth.consumers)


def without_slots(settings: RedisSettings, queues: Collection[str]) -> list[str]:
    """Return the queues no worker shows slots for: a broker on Redis does not count who takes from a queue."""
    try:
        client = store.client(settings.url)
        return [queue for queue in queues if not client.zcard(keys.slots(queue))]
    except redis.RedisError:
        return []  # the part redis says it


def _counts_consumers(settings: Settings) -> bool:
    return settings.broker.url.startswith("amqp")


def _unanswered(settings: RedisSettings, error: redis.RedisError) -> str:
    reason = "the credentials are refused" if isinstance(error, redis.AuthenticationError) else str(error)
    return f"{without_secrets(settings.url)} does not answer: {reason}"
