"""Waiting for a socket and for threads at once; what TLS has read ahead is seen too."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Iterator


class TlsSocket:
    """A socket whose TLS layer holds messages that came in one record."""

    def __init__(self, file: socket.socket, held: int) -> None:
        self._file, self.held = file, held

    def pending(self) -> int:
        return self.held

    def fileno(self) -> int:
        return self._file.fileno()


class Connection:
    """As much of a connection as is waited for."""

    def __init__(self, sock: Any, *, read_buffer: bytes = b"", deliveries: int = 0) -> None:
        self.delivered = 0
        self._deliveries = deliveries
        self._transport = SimpleNamespace(sock=sock, _read_buffer=read_buffer)
        self.connection = SimpleNamespace(transport=self._transport)

    def drain_events(self, *, timeout: float) -> None:
        assert timeout < 1
        if self.delivered == self._deliveries:
            raise TimeoutError
        self.delivered += 1


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def wait(connection: Connection, wakeup: Wakeup | None = None) -> None:
    wakeup = wakeup or Wakeup()
    wakeup.set()  # so that no test waits in earnest
    wakeup.wait(connection, 60.0)  # type: ignore[arg-type]  # as much of it as is used


class TestWakeup:
    def test_delivers_what_arrives_on_the_socket(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = sockets
        theirs.send(b"x")
        connection = Connection(ours, deliveries=2)
        Wakeup().wait(connection, 60.0)  # type: ignore[arg-type]  # as much of it as is used
        assert connection.delivered == 2

    def test_delivers_what_tls_has_decrypted_already(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        connection = Connection(TlsSocket(sockets[0], held=100), deliveries=3)
        wait(connection)
        assert connection.delivered == 3

    def test_delivers_what_the_client_library_has_read_already(
        self, sockets: tuple[socket.socket, socket.socket]
    ) -> None:
        connection = Connection(sockets[0], read_buffer=b"frame", deliveries=1)
        wait(connection)
        assert connection.delivered == 1

    def test_reads_nothing_where_nothing_came(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        connection = Connection(TlsSocket(sockets[0], held=0), deliveries=1)
        wait(connection)
        assert connection.delivered == 0

    def test_waits_again_after_it_was_woken(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        wakeup, connection = Wakeup(), Connection(sockets[0])
        wait(connection, wakeup)
        assert not wakeup._clear()
