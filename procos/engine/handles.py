"""One easy handle of libcurl: a kept connection to one server, and one call after another over it.

`Connections` gives a handle to one thread at a time. All of libcurl's options we use stand here; each is told in its
manual page, CURLOPT_<name>(3).
"""

from __future__ import annotations

import math
import selectors
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pycurl

from procos import __version__
from procos.engine.answers import Headers, HttpAnswer, NoAnswerError
from procos.engine.reasons import CONNECT_TIMEOUT, why_unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_ANSWER = 512 * 1024 * 1024
"""Bytes of an answer that is read whole: far beyond what the engine answers, and within what a host can hold."""
LARGEST_HELD = 64 * 1024
"""Bytes of a body that a handle may hold until its next call; a deployment is more."""
MILLISECONDS = 1000
UNLIMITED = 0
NO_SOCKET = -1
Looking: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""The cheapest look at a few sockets; it takes no file descriptor, of which there may be none."""

OPTIONS = {
    pycurl.NOSIGNAL: 1,  # signals belong to the process, and several threads call
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.FOLLOWLOCATION: 0,
    pycurl.PROXY: "",  # not even the environment's
    pycurl.NETRC: pycurl.NETRC_IGNORED,
    pycurl.PATH_AS_IS: 1,
    pycurl.USERAGENT: f"procos/{__version__}",
    pycurl.ACCEPT_ENCODING: "identity",
    pycurl.CONNECTTIMEOUT_MS: int(CONNECT_TIMEOUT * MILLISECONDS),
    pycurl.DNS_CACHE_TIMEOUT: 0,  # a new connection goes where the name leads now
    pycurl.TCP_NODELAY: 1,
    pycurl.TCP_KEEPALIVE: 1,
    pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,  # or younger
    pycurl.SSL_VERIFYPEER: 1,
    pycurl.SSL_VERIFYHOST: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Whom to trust and what to show, in PEM form; None of `authorities` is the system's."""

    authorities: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)  # its key may lie in the same file
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call to make; `limit` in seconds is for the whole of it, or for each piece where it is read in pieces."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    limit: float
    in_pieces: bool = False
    with_headers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What libcurl says about a call without an answer; `reasons` finds words for it."""

    code: int
    text: str
    system_error: int
    was_sent: bool
    is_first: bool
    """Whether its connection was made for this call, over TLS: what is refused then may be our certificate."""
    connect_limit: float


class Sendings:
    """Lets libcurl send a request once, or what only reads twice.

    It would send each again by itself, over another connection, where a kept one ends before a byte of the answer came.
    The server may have done what it was asked by then, and no option turns that off.
    """

    def __init__(self) -> None:
        self.count, self.most = 0, 1

    def __call__(self, *_addresses: object) -> int:
        """Say whether a request may go out on a connection that stands."""
        self.count += 1
        return int(pycurl.PREREQFUNC_OK if self.count <= self.most else pycurl.PREREQFUNC_ABORT)


class Handle:
    """An easy handle; used by one thread at a time, closed when nobody holds it any more.

    libcurl is handed what belongs to no handle: a callback of the handle's own would keep it alive with its connection.
    """

    def __init__(self, certificates: Certificates | None, *, write: Callable[[bytes], Any] | None = None) -> None:
        self.curl = pycurl.Curl()
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._sendings = Sendings()
        self._connect_limit = CONNECT_TIMEOUT
        self._standing: dict[int, Any] = {}
        self._is_secured = certificates is not None
        for option in (pycurl.CAINFO, pycurl.CAPATH):
            self.curl.unsetopt(option)  # whom the library was built to trust
        for option, value in (OPTIONS | _trust(certificates)).items():
            self.curl.setopt(option, value)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._pieces.append if write is None else write)
        self.curl.setopt(pycurl.PREREQFUNCTION, self._sendings)

    def call(self, request: Request) -> HttpAnswer:
        """Send a request and read the answer.

        Raises:
            NoAnswerError: there was none, or not all of it; the handle is not to be used again.
        """
        try:
            self.prepare(request)
            self.curl.perform()
        except pycurl.error as error:
            raise self.failure(*error.args) from error
        data = b"".join(self._pieces)
        self._pieces.clear()
        if request.body and len(request.body) > LARGEST_HELD:
            self.curl.setopt(pycurl.POSTFIELDS, b"")
        return self.answer(data)

    def answer(self, data: bytes) -> HttpAnswer:
        """Return the answer that has come, with this body."""
        return HttpAnswer(status=self.status, headers=Headers(tuple(self._lines)), data=data)

    def prepare(self, request: Request) -> None:
        """Set what one call needs."""
        self._lines.clear()
        self._sendings.count, self._sendings.most = 0, 2 if request.in_pieces else 1
        self._set(pycurl.URL, request.url)
        # Expect: 100-continue would cost a round trip, and a second where a server does not know it.
        self._set(pycurl.HTTPHEADER, ["Expect:", *(f"{name}: {value}" for name, value in request.headers.items())])
        self._set_body(request)
        self._set(pycurl.CUSTOMREQUEST, request.method)
        self._set(pycurl.TIMEOUT_MS, UNLIMITED if request.in_pieces else math.ceil(request.limit * MILLISECONDS))
        self._set(pycurl.HEADERFUNCTION, self._lines.append if request.with_headers else None)
        self._set(pycurl.MAXFILESIZE_LARGE, UNLIMITED if request.in_pieces else LARGEST_ANSWER)
        self._connect_limit = min(CONNECT_TIMEOUT, request.limit)

    def _set_body(self, request: Request) -> None:
        """Make it a request with a body or without; the one option takes back the other."""
        if request.body is None and request.method not in {"POST", "PUT"}:
            self._set(pycurl.HTTPGET, 1)
        else:
            self.curl.setopt(pycurl.POSTFIELDS, request.body or b"")
            self._standing.pop(pycurl.HTTPGET, None)

    def _set(self, option: int, value: Any) -> None:
        """Set an option, unless it stands so: each costs CPU, and from one call to the next few change."""
        if self._standing.get(option) != value:
            self.curl.setopt(option, value)
            self._standing[option] = value

    def is_over(self) -> bool:
        """Whether the server has closed the connection, or says what it was not asked for.

        libcurl looks for itself where a second has passed; before that it would send, and learn it by that.
        """
        return has_ended(self.curl.getinfo(pycurl.ACTIVESOCKET))

    @property
    def status(self) -> int:
        """Return the status of the answer, 0 while there is none."""
        return int(self.curl.getinfo(pycurl.RESPONSE_CODE))

    def failure(self, code: int, text: str) -> NoAnswerError:
        """Return the error for what libcurl says."""
        failure = Failure(
            code=code,
            text=text,
            system_error=self.curl.getinfo(pycurl.OS_ERRNO),
            was_sent=self._sendings.count > 0,
            is_first=self._is_secured and self.curl.getinfo(pycurl.NUM_CONNECTS) > 0,
            connect_limit=self._connect_limit,
        )
        return NoAnswerError(why_unanswered(failure))


def has_ended(socket: int) -> bool:
    """Whether there is something to read from a connection that is idle: its end, or what nobody has asked for."""
    if socket == NO_SOCKET:
        return True
    with Looking() as look:
        look.register(socket, selectors.EVENT_READ)
        return bool(look.select(0))


def _trust(certificates: Certificates | None) -> dict[int, Any]:
    """Return the options of TLS; the authorities of the system are where Python's own TLS finds them."""
    if certificates is None:
        return {}
    system = ssl.get_default_verify_paths()
    # As Python's own TLS: a chain leads to an authority, not to what stands below one.
    trusted, options = dict[int, Any](), pycurl.SSLOPT_NO_PARTIALCHAIN
    if certificates.authorities is not None:
        trusted = {pycurl.CAINFO_BLOB: certificates.authorities}
    elif system.cafile or system.capath:
        trusted = {pycurl.CAINFO: system.cafile, pycurl.CAPATH: system.capath}
    else:
        options |= pycurl.SSLOPT_NATIVE_CA  # Windows and macOS keep them elsewhere
    trusted[pycurl.SSL_OPTIONS] = options
    if certificates.certificate is not None:
        trusted[pycurl.SSLCERT_BLOB] = certificates.certificate
        trusted[pycurl.SSLKEY_BLOB] = certificates.key or certificates.certificate
    return {option: value for option, value in trusted.items() if value is not None}
