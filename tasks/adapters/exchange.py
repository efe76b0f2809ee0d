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
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """
    _check(request)
    connection = _connected(request.url, way)
    cut = threading.Event()
    watchdog = threading.Timer(max(way.deadline - time.monotonic(), 0.0), _cut, (connection.sock, cut))
    watchdog.daemon = True
    watchdog.start()
    try:
        return _answered(connection, request, way, cut)
    except (OSError, http.client.HTTPException, ValueError) as error:
        is_late = cut.is_set() or isinstance(error, TimeoutError)
        why = "it did not answer in time" if is_late else f"the answer broke off ({type(error).__name__})"
        raise AnswerLostError(why) from error
    finally:
        watchdog.cancel()
        connection.close()


def _check(request: Request) -> None:
    """Find what cannot be sent before anything is, so that it is not taken for sent."""
    texts = (request.url, *request.headers.values())
    if " " in request.url or not all(text.isascii() and text.isprintable() for text in texts):
        raise NothingSentError("the address or the token has a character that cannot be sent")


def _connected(url: str, way: Way) -> http.client.HTTPConnection:
    """Open a connection; a name with several addresses is tried at each, within the time there is."""
    left = min(way.connect_seconds, way.deadline - time.monotonic())
    if left <= 0:
        raise NothingSentError("no time is left for the call")
    try:
        connection = _connection(url, way, left)
        connection.connect()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NothingSentError(f"no connection ({_reason(error)})") from error
    return connection


def _connection(url: str, way: Way, seconds: float) -> http.client.HTTPConnection:
    to, over = urlsplit(url), urlsplit(way.proxy) if way.proxy else None
    host, port = to.hostname or "", to.port or PORTS[to.scheme]
    at, at_port = (over.hostname or "", over.port or PORTS["http"]) if over else (host, port)
    if to.scheme == "http":
        return http.client.HTTPConnection(at, at_port, timeout=seconds)
    connection = http.client.HTTPSConnection(at, at_port, timeout=seconds, context=_trust(way.ca_file))
    if over:
        connection.set_tunnel(host, port, headers=_proxy_headers(way.proxy or ""))
    return connection


@cache
def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Trust the authorities of the system and those requests comes with, or those of a file alone."""
    if ca_file:
        return ssl.create_default_context(cafile=ca_file)
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    context = ssl.create_default_context()
    context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    return context


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


def _answered(connection: http.client.HTTPConnection, request: Request, way: Way, cut: threading.Event) -> Answer:
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
    if cut.is_set() or response.length:
        raise http.client.IncompleteRead(b"")
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=named, body=b"".join(pieces))


def _target(url: str, way: Way) -> str:
    """Return what the request line says: the path, or the whole address where a proxy is asked for plain HTTP."""
    to = urlsplit(url)
    if way.proxy and to.scheme == "http":
        return url
    return (to.path or "/") + (f"?{to.query}" if to.query else "")


def _cut(stream: socket.socket, cut: threading.Event) -> None:
    """End a wait for a service that keeps itself busy, with a header now and a byte then."""
    cut.set()
    try:
        # Past the TLS layer, whose own shutdown would pull the rug from under the thread that reads.
        socket.socket.shutdown(stream, socket.SHUT_RDWR)
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
