"""Connections on which waiting for an AI provider ends as soon as there is a reason to.

A model may think for half a minute before it sends the first byte, and a read that blocks cannot be stopped from
beside. So every read is made of short ones, and between two of them the thread that waits looks whether it still
should: `checked` says by what. What is raised then closes the connection, which frees the provider's slot. The adapters
use this transport.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

LOOK_SECONDS = 0.25
MOST_CONNECTIONS, MOST_IDLE = 1000, 100

_thread = threading.local()


@contextmanager
def checked(check: Callable[[], None]) -> Iterator[None]:
    """Let what this thread reads and writes in the meantime end with whatever `check` raises."""
    _thread.check = check
    try:
        yield
    finally:
        del _thread.check


def _look() -> None:
    check: Callable[[], None] | None = getattr(_thread, "check", None)
    if check is not None:
        check()


def client() -> httpx2.Client:
    """Return a client on such connections: neither proxies from the environment nor redirects are followed."""
    return httpx2.Client(trust_env=False, follow_redirects=False, transport=CheckedTransport())


class CheckedTransport(httpx2.HTTPTransport):
    """httpx's transport, over connections that look up while they wait."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_IDLE,
            keepalive_expiry=5.0,
            network_backend=_Backend(),
        )


class _Backend(httpcore2.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        end = time.monotonic() + timeout if timeout is not None else float("inf")
        while True:
            _look()
            left = end - time.monotonic()
            try:
                return self._inner.read(max_bytes, max(min(LOOK_SECONDS, left), 0.001))
            except httpcore2.ReadTimeout:
                if left <= LOOK_SECONDS:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        _look()
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
