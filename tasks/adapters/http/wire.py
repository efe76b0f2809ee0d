"""Connections that keep a deadline, know whether anything was sent, and read no endless head.

A client's read timeout begins anew with every byte, so a server that sends one now and then holds a worker for ever.
Here each wait on the socket is cut to what is left of the whole exchange. And whether a request may be sent again
depends on whether a byte of it has left, which only the connection itself can tell.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LARGEST_HEAD = 128 * 1024
"""Bytes of status line and headers, interim answers included; servers take 8 to 64 KiB of ours."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer, while it is under way."""

    deadline: float
    """A moment of the monotonic clock."""
    read_timeout: float
    longest_idle: float
    """Seconds a kept connection may have been idle: the other side may be closing it while we send."""
    is_sent: bool = False
    is_head: bool = True
    """Whether what is read is still the head of the answer."""
    has_endless_head: bool = False
    head: int = 0

    def patience(self) -> float:
        """Return the seconds to wait for the next bytes.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the exchange is over")
        return min(left, self.read_timeout)

    def count(self, size: int) -> None:
        """Count bytes of the head.

        Raises:
            OSError: it is too large.
        """
        self.head += size
        if self.is_head and self.head > LARGEST_HEAD:
            self.has_endless_head = True
            raise OSError("the head of the answer has no end")


_here = threading.local()


@contextmanager
def under_way(exchange: Exchange) -> Iterator[None]:
    """Bind what this thread sends and reads to an exchange."""
    before = getattr(_here, "exchange", None)
    _here.exchange = exchange
    try:
        yield
    finally:
        _here.exchange = before


class _TimedReader(io.RawIOBase):
    """What comes from a socket, each wait within the exchange that is under way."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._sock, self._raw = sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        exchange: Exchange = _here.exchange
        self._sock.settimeout(exchange.patience())
        size = self._raw.readinto(buffer) or 0
        exchange.count(size)
        return size

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedAnswer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_TimedReader(sock, stream.detach()))


class _Timed:
    """Mixed into a connection of urllib3."""

    response_class: Any = _TimedAnswer
    sock: Any
    used = 0.0

    @property
    def is_connected(self) -> bool:
        exchange: Exchange = _here.exchange
        return time.monotonic() - self.used <= exchange.longest_idle and super().is_connected  # type: ignore[misc]  # urllib3's

    def send(self, data: Any) -> None:
        exchange: Exchange = _here.exchange
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # urllib3's
        self.sock.settimeout(exchange.patience())
        exchange.is_sent = True
        super().send(data)  # type: ignore[misc]  # urllib3's
        self.used = time.monotonic()


class _TimedHTTPConnection(_Timed, HTTPConnection):
    pass


class _TimedHTTPSConnection(_Timed, HTTPSConnection):
    pass


class _TimedPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTPConnection


class _TimedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPSConnection


POOLS = {"http": _TimedPool, "https": _TimedTlsPool}
"""What a pool manager of urllib3 takes its pools from."""
