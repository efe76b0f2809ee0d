"""A worker's client of Redis: where starts are noted and heartbeats are left; never waited for longer than a second."""

from __future__ import annotations

import threading
from functools import cache

import redis

from procos.own_connections import OwnConnections

TIMEOUT_SECONDS = 1.0

_lock = threading.Lock()


def client(url: str) -> redis.Redis:
    """Return this process's client, with its pool of connections; it may be shared by threads."""
    with _lock:
        return _client(url)


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)


def own_connections(url: str) -> OwnConnections:
    """Return the connections of this process's threads, for what each of them asks with every task."""
    with _lock:
        return _own_connections(url)


@cache
def _own_connections(url: str) -> OwnConnections:
    return OwnConnections(_client(url))
