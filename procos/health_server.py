"""Health over HTTP, for whoever watches a daemon: `/livez`, `/readyz` and `/metrics`, GET and HEAD alone.

A small server of the standard library on a thread of its own; the daemon, bridge or kernel, gives the answers. It reads
no bodies, asks for no login and is bound to loopback unless told otherwise. A caller that is slow costs itself its
answer: each wait is limited, and when all places are taken the longest visitor has to leave.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

from procos.domain.errors import SettingsError
from procos.logs import get_logger
from procos.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READ_SECONDS = 5.0
VISITORS = 16
LOOK_SECONDS = 0.1
"""How long it takes to notice that it is to stop."""
PLAIN, JSON = "text/plain; charset=utf-8", "application/json"
ALLOWED = "GET, HEAD"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Where the answers come from."""

    late: Callable[[], Mapping[str, str]]
    """The loops that hang, and since when; none of them means alive."""
    findings: Callable[[], Mapping[str, str]]
    """`ok` or the trouble, by dependency."""
    metrics: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    status: HTTPStatus
    content_type: str
    body: bytes


class HealthServer:
    """The server; begins to listen with `start`. `prefix` begins the names of the settings it is told by."""

    def __init__(self, answers: Answers, *, address: str, port: int, prefix: str, may_move: bool = False) -> None:
        self._answers, self._address, self._port, self._may_move = answers, address, port, may_move
        self._prefix = prefix
        self._server: _Server | None = None

    def start(self) -> int:
        """Listen, and return the port: another one where `may_move` and the wanted one is taken.

        Raises:
            SettingsError: address and port cannot be listened on.
        """
        server = self._server = self._listening()
        threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="health", daemon=True).start()
        port: int = server.server_address[1]
        log.info("health.listening", address=self._address, port=port)
        return port

    def stop(self) -> None:
        """Stop listening; answers under way are not waited for."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listening(self) -> _Server:
        try:
            return _Server(self._address, self._port, self._answers)
        except OSError as error:
            if self._may_move and error.errno == errno.EADDRINUSE:
                log.warning("health.port_taken", port=self._port, cure=f"set {self._prefix}PORT")
                return _Server(self._address, 0, self._answers)
            raise SettingsError([self._trouble(error)]) from error

    def _trouble(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return (
                f"{self._prefix}PORT: another program listens on port {self._port} of {self._address}; "
                "set another port, or 0 to serve none"
            )
        name = "PORT" if error.errno == errno.EACCES else "ADDRESS"
        reason = (error.strerror or str(error)).lower()
        return f"{self._prefix}{name}: cannot listen on {self._address} port {self._port}: {reason}"


class _Server(ThreadingHTTPServer):
    """A thread per visitor, for a limited number of them."""

    daemon_threads = True
    request_queue_size = 2 * VISITORS
    block_on_close = False

    def __init__(self, address: str, port: int, answers: Answers) -> None:
        self.address_family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        self.answers = answers
        self._visitors: OrderedDict[int, socket.socket] = OrderedDict()
        self._visits = threading.Lock()
        super().__init__((address, port), _Visit)

    def server_bind(self) -> None:
        """Bind without looking up our own host's name, as the base class does, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve a visitor, turning out the one who has been here longest if there is no place."""
        assert isinstance(request, socket.socket)  # noqa: S101  # the other type is that of datagrams
        with self._visits:
            self._visitors[id(request)] = request
            if len(self._visitors) > VISITORS:
                _, longest = self._visitors.popitem(last=False)
                _hang_up(longest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Give a visitor's place free."""
        with self._visits:
            self._visitors.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # the base class's signature
        """Say what went wrong where all else is said, instead of on stderr."""
        log.debug("health.visit_failed", exc_info=sys.exc_info())


class _Visit(BaseHTTPRequestHandler):
    """One request; the connection ends with its answer."""

    timeout = READ_SECONDS
    server: _Server
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = PLAIN
    pages: ClassVar[tuple[str, ...]] = ("/livez", "/readyz", "/metrics")

    def do_GET(self) -> None:
        """Answer."""
        self._send(self._page())

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._send(self._page())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a method there is no `do_` for with what is allowed."""
        if code != HTTPStatus.NOT_IMPLEMENTED:
            super().send_error(code, message, explain)
            return
        text = f"{HTTPStatus.METHOD_NOT_ALLOWED.value} only {ALLOWED}\n"
        self._send(_Page(status=HTTPStatus.METHOD_NOT_ALLOWED, content_type=PLAIN, body=text.encode()))

    def version_string(self) -> str:
        """Name the program, and no version of anything."""
        return "procos"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class's signature
        """Keep quiet: probes come every few seconds."""

    def _page(self) -> _Page:
        path, answers = self.path.partition("?")[0], self.server.answers
        try:
            match path:
                case "/livez":
                    return _live(answers.late())
                case "/readyz":
                    return _ready(answers.findings())
                case "/metrics":
                    return _Page(status=HTTPStatus.OK, content_type=CONTENT_TYPE, body=answers.metrics())
        except Exception:  # a defect of ours must be seen as one, and not as a connection that breaks
            log.exception("health.page_failed", page=path)
            return _json(HTTPStatus.INTERNAL_SERVER_ERROR, {"status": "failed"})
        status = HTTPStatus.OK if path == "/" else HTTPStatus.NOT_FOUND
        return _json(status, {"pages": list(self.pages)})

    def _send(self, page: _Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ALLOWED)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)


def _live(late: Mapping[str, str]) -> _Page:
    if not late:
        return _json(HTTPStatus.OK, {"status": "alive"})
    return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "hangs", "loops": dict(late)})


def _ready(findings: Mapping[str, str]) -> _Page:
    is_ready = all(finding == "ok" for finding in findings.values())
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _json(status, {"status": "ready" if is_ready else "not ready", **findings})


def _json(status: HTTPStatus, document: Mapping[str, object]) -> _Page:
    body = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    return _Page(status=status, content_type=JSON, body=body)


def _hang_up(visitor: socket.socket) -> None:
    try:
        visitor.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # gone by itself
