"""A relay before a database, which hangs up at a word: before the server has heard it, or after it has answered."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

PIECE = 65536


class Relay:
    """Carries connections to a port until `word` comes along."""

    def __init__(self, port: int, word: bytes, *, hears: bool) -> None:
        self._to, self._word, self._hears = port, word, hears
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server, suppress(OSError):
            is_over = threading.Event()
            back = threading.Thread(target=_pour, args=(server, client, is_over), daemon=True)
            back.start()
            while piece := client.recv(PIECE):
                if self._word in piece:
                    is_over.set()
                    self._end(piece, server, back)
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
            back.join(5)

    def _end(self, piece: bytes, server: socket.socket, back: threading.Thread) -> None:
        if self._hears:
            server.sendall(piece)
            server.shutdown(socket.SHUT_WR)  # a server ends at the end of what it was told, after its work
            back.join(5)
        else:
            server.shutdown(socket.SHUT_RDWR)


def _pour(server: socket.socket, client: socket.socket, is_over: threading.Event) -> None:
    with suppress(OSError):
        while piece := server.recv(PIECE):
            if not is_over.is_set():
                client.sendall(piece)
