"""A service on loopback that sends the very bytes it is told to, and then hangs up, or never says a word."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

PATIENCE = 5.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass
class RawService:
    """What it shall send, and how often it was asked."""

    port: int
    says: bytes = b""
    drips: bytes = b""
    """Sent again and again, so that the answer never ends, until the other side has had enough."""
    is_silent: bool = False
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def full_port() -> Iterator[int]:
    """Listen at a port that has no room: whoever connects waits for an answer that never comes."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        yield listening.getsockname()[1]


def named(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Give every name several addresses: these ports of this host, in this order."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@contextmanager
def raw_service() -> Iterator[RawService]:
    """Listen until the test is over."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.02)
        service, over = RawService(listening.getsockname()[1]), threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, service, over), daemon=True)
        thread.start()
        yield service
        over.set()
        thread.join(PATIENCE)


def _serve(listening: socket.socket, service: RawService, over: threading.Event) -> None:
    while not over.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(PATIENCE)
            _answer(connection, service, over)


def _answer(connection: socket.socket, service: RawService, over: threading.Event) -> None:
    try:
        service.requests.append(connection.recv(1 << 20))
        connection.sendall(service.says)
        while service.drips and not over.wait(0.01):
            connection.sendall(service.drips)
        while service.is_silent and connection.recv(1 << 16):
            pass
    except OSError:
        return  # the other side has gone
