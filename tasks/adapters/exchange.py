"""One exchange over HTTP for the client libraries of services: bounded as a whole, never repeated, not redirected.

The libraries build requests and read answers; what goes over the wire goes through here, because a step must know two
things they do not tell: that the call ends in time and in a bounded answer, and whether a request was sent at all when
no answer came. Each exchange has a connection of its own. One that was kept may be closed by the service just as the
next request goes out, and then nobody knows whether that was read.

Nothing is taken from the environment: no proxy, no credentials of ~/.netrc.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from procos.domain.errors import PermanentError
from tasks.adapters.known import INVALID
from tasks.adapters.reaching import authorities, reached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIECE = 64 * 1024
PORTS = {"http": 80, "https": 443}


class NothingSentError(Exception):
    """Raised when a service could not be reached: it was asked nothing, so nothing was done."""


class AnswerLostError(Exception):
    """Raised when a request went out, at least in part, and no whole answer came: it may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a service is reached; `deadline` is a moment of the monotonic clock."""

    deadline: float
    connect_seconds: float
    """Until there is a connection, with the tunnel of a proxy and with TLS."""
    largest_answer: int
    """In bytes."""
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def exchange(request: Request, way: Way) -> Answer:
    """Send a request, and return the answer, whatever its status.

    Raises:
        NothingSentError: the service was not reached.
        AnswerLostError: it was, and no whole answer came in time.
        PermanentError: CONNECTION_INVALID, where the token cannot be sent, or ca_file cannot be read.
    """
    _check(request)
    with closing(_Watchdog()) as watchdog, closing(_connected(request.url, way, watchdog)) as connection:
        try:
            return _answered(connection, request, way, watchdog)
        except (OSError, http.client.HTTPException, ValueError) as error:
            is_late = watchdog.has_bitten or isinstance(error, TimeoutError)
            why = "it did not answer in time" if is_late else f"the answer broke off ({type(error).__name__})"
            raise AnswerLostError(why) from error


def _check(request: Request) -> None:
    """Find what cannot be sent before anything is, so that it is not taken for sent."""
    if not all(text.isascii() and text.isprintable() for text in request.headers.values()):
        raise PermanentError("the token of a connection has a character that cannot be sent", code=INVALID)
    if " " in request.url or not (request.url.isascii() and request.url.isprintable()):
        raise NothingSentError("the address has a character that cannot be sent")


def _connected(url: str, way: Way, watchdog: _Watchdog) -> http.client.HTTPConnection:
    """Open a connection, with all that belongs to it: each address of a name, a proxy's tunnel, and TLS."""
    until = min(way.deadline, time.monotonic() + way.connect_seconds)
    if until <= time.monotonic():
        raise NothingSentError("no time is left for the call")

    def reach(place: tuple[str, int], *_: object) -> socket.socket:
        stream = reached(*place, until=until)
        watchdog.watch(stream, until=until)
        return stream

    try:
        connection = _connection(url, way)
        connection._create_connection = reach  # type: ignore[attr-defined]  # noqa: SLF001  # it takes no deadline
        with _closed_on_failure(connection):
            connection.connect()
            watchdog.wait(until=way.deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = "timed out" if watchdog.has_bitten else _reason(error)
        raise NothingSentError(f"no connection ({why})") from error
    return connection


def _connection(url: str, way: Way) -> http.client.HTTPConnection:
    to, over = urlsplit(url), urlsplit(way.proxy) if way.proxy else None
    host, port = to.hostname or "", to.port or PORTS[to.scheme]
    at, at_port = (over.hostname or "", over.port or PORTS["http"]) if over else (host, port)
    if to.scheme == "http":
        return http.client.HTTPConnection(at, at_port)
    trust = authorities(way.ca_file) if way.ca_file else _usual_authorities()
    connection = http.client.HTTPSConnection(at, at_port, context=trust)
    if over:
        connection.set_tunnel(host, port, headers=_proxy_headers(way.proxy or ""))
    return connection


@contextmanager
def _closed_on_failure(connection: http.client.HTTPConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@cache
def _usual_authorities() -> ssl.SSLContext:
    """Trust the authorities of the system, and those requests comes with."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    context = authorities(None)
    context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    return context


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


def _answered(connection: http.client.HTTPConnection, request: Request, way: Way, watchdog: _Watchdog) -> Answer:
    connection.sock.settimeout(max(way.deadline - time.monotonic(), 0.001))
    target, headers = _target(request.url, way), dict(request.headers)
    if way.proxy and target == request.url:
        headers |= _proxy_headers(way.proxy)
    connection.request(request.method, target, body=request.body, headers=headers)
    response = connection.getresponse()
    pieces, size = [], 0
    while piece := response.read1(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > way.largest_answer:
            raise AnswerLostError(f"the answer has more than {way.largest_answer} bytes")
    if watchdog.has_bitten or response.length:
        raise http.client.IncompleteRead(b"")
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=named, body=b"".join(pieces))


def _target(url: str, way: Way) -> str:
    """Return what the request line says: the path, or the whole address where a proxy is asked for plain HTTP."""
    to = urlsplit(url)
    if way.proxy and to.scheme == "http":
        return url
    return (to.path or "/") + (f"?{to.query}" if to.query else "")


class _Watchdog:
    """Ends a wait for somebody who keeps himself busy, with a header now and a byte then."""

    def __init__(self) -> None:
        self.has_bitten = False
        self._stream: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def watch(self, stream: socket.socket, *, until: float) -> None:
        """End whatever waits for a socket at a moment; it has its own hold on it, since TLS takes the other over."""
        self._stream = stream.dup()
        self._start(self._stream, until)

    def wait(self, *, until: float) -> None:
        """Wait until another moment.

        Raises:
            TimeoutError: the one before has passed.
        """
        self._rest()
        if self.has_bitten or self._stream is None:
            raise TimeoutError("timed out")
        self._start(self._stream, until)

    def close(self) -> None:
        """Watch no more."""
        self._rest()
        if self._stream:
            self._stream.close()

    def _start(self, stream: socket.socket, until: float) -> None:
        self._timer = threading.Timer(max(until - time.monotonic(), 0.0), self._bite, (stream,))
        self._timer.daemon = True
        self._timer.start()

    def _rest(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()

    def _bite(self, stream: socket.socket) -> None:
        self.has_bitten = True
        try:
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it ended by itself


def _reason(error: Exception) -> str:
    """Name an error of the system in its words, which hold no values of ours."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case TimeoutError():
            return "timed out"
        case OSError() if error.strerror:
            return error.strerror
        case OSError() if refusal := re.match(r"Tunnel connection failed: (\d{3})\b", str(error)):
            return f"the proxy refuses it: HTTP {refusal[1]}"
    return type(error).__name__
