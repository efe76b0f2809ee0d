"""A server below HTTP: what it does with a connection is a function of the test's."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def raw_server(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """Serve one connection after the other on a free port, and close each when `serve` is done with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):  # the test is over, or the client has gone: both are the point
                while True:
                    client, _ = server.accept()
                    with client, contextlib.suppress(OSError):
                        serve(client)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes up who accepts
