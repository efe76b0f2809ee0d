"""A server that takes one connection and does with it what the test wants: nothing, or little, and slowly."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Behaviour = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def stubborn(behave: Behaviour) -> Iterator[int]:
    """Run such a server, and yield its port; it is to end when the event is set."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # clients that give up half-way are part of these tests
                connection, _ = listener.accept()
                with connection:
                    behave(connection, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)  # wakes one that nobody has connected to
            thread.join(5)


def says_nothing(_: socket.socket, over: threading.Event) -> None:
    """Take the connection, and neither read nor write."""
    over.wait(5)


def takes_slowly(connection: socket.socket, over: threading.Event) -> None:
    """Read a little now and then."""
    while not over.wait(0.02) and connection.recv(256 * 1024):
        pass


def drips_its_header(connection: socket.socket, over: threading.Event) -> None:
    """Answer without an end, one letter now and then."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
    while not over.wait(0.02):
        connection.sendall(b"a")
