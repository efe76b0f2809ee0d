"""Connections on which waiting for an AI provider ends when the step is cancelled.

A model may think for half a minute before it sends the first byte, and a read that blocks cannot be stopped from
beside. So every read is made of short ones, and between two of them the thread that waits asks whether it still should.
What is raised then closes the connection, which frees the provider's slot. `tasks.ai.chat` uses this transport.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from procos.domain.errors import StepCancelled

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

LOOK_SECONDS = 0.25
MOST_CONNECTIONS, MOST_IDLE = 1000, 100

_waiting = threading.local()


@contextmanager
def unless(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let what this thread reads in the meantime end with `StepCancelled` as soon as `is_cancelled` says so."""
    _waiting.is_cancelled = is_cancelled
    try:
        yield
    finally:
        del _waiting.is_cancelled


def stop_if_cancelled() -> None:
    """Raise `StepCancelled` if what this thread works for was cancelled."""
    is_cancelled: Callable[[], bool] | None = getattr(_waiting, "is_cancelled", None)
    if is_cancelled is not None and is_cancelled():
        raise StepCancelled("the step was cancelled")


class CancellableTransport(httpx2.HTTPTransport):
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
            stop_if_cancelled()
            left = end - time.monotonic()
            try:
                return self._inner.read(max_bytes, max(min(LOOK_SECONDS, left), 0.001))
            except httpcore2.ReadTimeout:
                if left <= LOOK_SECONDS:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        stop_if_cancelled()
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
