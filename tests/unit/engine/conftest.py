"""A tiny HTTP server that answers what the test says, for what only a real socket shows."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Site:
    """What the server answers, and what it was asked."""

    address: str
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang: threading.Event | None = None
    script: Callable[[str, dict[str, str], bytes], tuple[int, bytes]] | None = None
    """Chooses status and body from path, headers and body of a request."""
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0


@pytest.fixture
def site() -> Iterator[Site]:
    with served("/engine-rest") as page:
        yield page


@pytest.fixture
def token_server() -> Iterator[Site]:
    with served("/token") as page:
        yield page


@contextmanager
def served(path: str) -> Iterator[Site]:
    """Serve a site of one's own on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for the receipt of its headers

        def setup(self) -> None:
            page.connections += 1
            super().setup()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page.requests.append((self.command, self.path, dict(self.headers), body))
            if page.hang:
                page.hang.wait(5)
            status, answer = page.status, page.body
            if page.script:
                status, answer = page.script(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in {**page.headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # the base class's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that gave up are the point
    page = Site(address=f"http://127.0.0.1:{server.server_port}{path}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield page
    finally:
        server.shutdown()
        server.server_close()
