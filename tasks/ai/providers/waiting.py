"""Connections on which waiting for an AI provider ends as soon as there is a reason to.

A model may think for half a minute before it sends the first byte, a server may take a long question slowly, or never
accept the connection; what blocks cannot be stopped from beside. So no socket here ever blocks: connecting, greeting,
sending and reading are each tried, and in between the thread waits in short turns and looks whether it still should, as
`tasks.ai.providers.lookout` says. What is raised then closes the connection, which frees the provider's slot. Only the
look-up of a name is the system's own, with its limits. The adapters use this transport.
"""

from __future__ import annotations

import math
import os
import select
import socket
import ssl
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore2
import httpx2

from tasks.ai.providers.lookout import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LOOK_SECONDS = 0.25
PIECE = 64 * 1024
MOST_CONNECTIONS, MOST_IDLE = 1000, 100

Done = TypeVar("Done")


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
            network_backend=CheckedBackend(),
        )


class CheckedBackend(httpcore2.NetworkBackend):
    """Opens such connections, for httpx's pool."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  # the pool above sets none
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of a host that lets us; each has the whole time, as with the system's own."""
        with _told_as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            *others, last = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in others:
                try:
                    return _Stream(_connected(socket.socket(family, kind, protocol), address, timeout))
                except OSError:
                    continue  # what counts is what the last one says
            family, kind, protocol, _, address = last
            return _Stream(_connected(socket.socket(family, kind, protocol), address, timeout))


class _Stream(httpcore2.NetworkStream):
    """One connection, whose socket does not block; a time limit counts for the whole of what is asked of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _told_as(httpcore2.ReadTimeout, httpcore2.ReadError):
            return _done(self._socket, partial(self._socket.recv, max_bytes), select.POLLIN, _end(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left, end = memoryview(buffer), _end(timeout)
        with _told_as(httpcore2.WriteTimeout, httpcore2.WriteError):
            while left:
                sent = _done(self._socket, partial(self._socket.send, left[:PIECE]), select.POLLOUT, end)
                left = left[sent:]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        with _told_as(httpcore2.ConnectTimeout, httpcore2.ConnectError), _closed_on_error(self._socket):
            sock = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )  # fmt: skip
            with _closed_on_error(sock):
                _done(sock, sock.do_handshake, select.POLLIN, _end(timeout))
        return _Stream(sock)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":  # as is a connection that the server has closed
            return self._socket.fileno() < 0 or bool(_poll(self._socket, select.POLLIN).poll(0))
        return None


def _connected(sock: socket.socket, address: Any, timeout: float | None) -> socket.socket:
    with _closed_on_error(sock):
        look()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except BlockingIOError:  # it is on its way
            _wait(sock, select.POLLOUT, _end(timeout))
        if trouble := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(trouble, os.strerror(trouble))
    return sock


def _done(sock: socket.socket, act: Callable[[], Done], usually: int, end: float) -> Done:
    """Return what `act` returns, tried again whenever the socket is ready; TLS may read to write, and write to read."""
    while True:
        look()
        try:
            return act()
        except BlockingIOError:
            _wait(sock, usually, end)
        except ssl.SSLWantReadError:
            _wait(sock, select.POLLIN, end)
        except ssl.SSLWantWriteError:
            _wait(sock, select.POLLOUT, end)


def _wait(sock: socket.socket, events: int, end: float) -> None:
    """Return when the socket is ready.

    Raises:
        TimeoutError: it is not, in time.
    """
    poll = _poll(sock, events)
    while (left := end - time.monotonic()) > 0:
        if poll.poll(min(LOOK_SECONDS, left) * 1000):
            return
        look()
    raise TimeoutError("timed out")


def _poll(sock: socket.socket, events: int) -> select.poll:
    poll = select.poll()
    poll.register(sock, events)
    return poll


def _end(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout


@contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


@contextmanager
def _told_as(timeout: type[Exception], trouble: type[Exception]) -> Iterator[None]:
    """Tell the system's errors in httpcore's words; what a look raises comes through as it is."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(error) from error
    except OSError as error:
        raise trouble(error) from error
