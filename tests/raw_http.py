"""A server that says over a socket just what a test tells it, right or wrong, and keeps what it was asked."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    Script = Callable[[bytes], Iterable[bytes]]

PATIENCE_SECONDS = 5
END_OF_HEAD = b"\r\n\r\n"
HELLO = b"\x16\x03"
"""How a client begins that speaks TLS."""


class RawServer:
    """Reads a request, then sends what `script` makes of it, piece by piece, and hangs up."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script, self._tls = script, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError):
                self._serve(client)

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(PATIENCE_SECONDS)
        with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as client:
            request = _read(client)
            self.requests.append(request)
            for piece in self._script(request):
                client.sendall(piece)


def _read(client: socket.socket) -> bytes:
    """Read one request, as long as its head says that its body is."""
    request = b""
    while END_OF_HEAD not in request and not request.startswith(HELLO):
        piece = client.recv(65536)
        if not piece:
            return request
        request += piece
    head, _, body = request.partition(END_OF_HEAD)
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0 and (piece := client.recv(65536)):
        request, missing = request + piece, missing - len(piece)
    return request


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """Write a well-formed answer; its type is JSON unless a header says otherwise."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    if not any(each.lower().startswith("content-type:") for each in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode("latin-1") + END_OF_HEAD + body
