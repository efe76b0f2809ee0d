"""Sends one request and returns its answer unread; keeps connections, one guard for each kind of trust and process.

What the other side, the network or TLS do wrong ends here as an error of ours, by one question: has anything left?
"""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from typing import TYPE_CHECKING

from urllib3 import Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.adapters.calling import outcome_unknown
from tasks.adapters.http.address import HOST_DENIED
from tasks.adapters.http.connection import Bounds, HttpConnection
from tasks.adapters.http.guard import Denied, Guard
from tasks.adapters.http.wire import Exchange, under_way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

    from tasks.adapters.http.address import Address

FAULTS = (HTTPError, HTTPException, OSError, ValueError)
"""What urllib3 and http.client raise over a network or a server; the last for a length that is none, or a name."""
NO_ANSWER, UNREACHABLE, RESPONSE_INVALID = "NO_ANSWER", "UNREACHABLE", "RESPONSE_INVALID"
MOST_GUARDS = 32
"""Kinds of trust whose connections are kept; an installation has a few."""
LONGEST_IDLE, LONGEST_IDLE_ONCE = 4.0, 1.0
"""Seconds after which a kept connection is not used again: servers close theirs from 5 s on (Node.js), and who closes
while we send leaves it open whether a request was read. What must not be sent twice takes hardly any such risk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to trust, and what to show: what connections to the same host may differ in."""

    process: int
    allowed: tuple[str, ...] = ()
    ca: tuple[Path, int] | None = None
    certificate: tuple[Path, int] | None = None
    key: tuple[Path, int] | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Trust()"

    @classmethod
    def of(cls, connection: Bounds, *, at_home: bool) -> Trust:
        """Return what holds at the connection's own origin, or elsewhere: there nothing internal, and no certificate.

        Raises:
            PermanentError: CONNECTION_INVALID, where a file is not there.
        """
        if not at_home:
            return cls(process=os.getpid())
        own = connection if isinstance(connection, HttpConnection) else None
        return cls(
            process=os.getpid(),
            allowed=connection.allowed_addresses,
            ca=_dated(connection.ca_file),
            certificate=_dated(own.client_certificate) if own else None,
            key=_dated(own.client_key) if own else None,
            password=own.client_key_password.get_secret_value() if own and own.client_key_password else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request as it is sent."""

    method: str
    address: Address
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes] | None
    is_repeatable: bool
    """Whether it may be sent again when nobody knows what became of it."""
    is_over: bool = False
    """Whether what must not be done twice has been done already, and this only asks for its result."""


def sent(outgoing: Outgoing, connection: Bounds, exchange: Exchange, *, at_home: bool) -> BaseHTTPResponse:
    """Send a request, and return its answer when the head of that is there.

    Raises:
        BusinessError: HOST_DENIED; RESPONSE_INVALID, where the head of the answer has no end.
        TransientError: nothing was sent, or nothing came back and it may be sent again.
        PermanentError: OUTCOME_UNKNOWN, where it was sent and must not be again.
    """
    try:
        with under_way(exchange):
            return _sent(outgoing, connection, exchange, at_home=at_home)
    except Denied as error:
        raise denied(outgoing.address, connection, at_home=at_home) from error
    except FAULTS as error:
        raise failure(error, outgoing, exchange) from error


def failure(error: BaseException, outgoing: Outgoing, exchange: Exchange) -> Exception:
    """Return what a fault of network or server means for the step."""
    text = f"{outgoing.method} {outgoing.address.place}: {_reason(error, exchange)}"
    if exchange.has_endless_head:
        return BusinessError(RESPONSE_INVALID, f"{text}; it was not read further")
    if outgoing.is_over or (exchange.is_sent and not outgoing.is_repeatable):
        return outcome_unknown(f"{text}, and the request may have been carried out")
    return TransientError(text, code=NO_ANSWER if exchange.is_sent else UNREACHABLE)


def denied(address: Address, connection: Bounds, *, at_home: bool) -> Exception:
    """Return the error for a host that may not be asked: the operator's to mend where the address is the operator's."""
    text = f"{address.place}: its address is not a public one"
    if at_home and isinstance(connection, HttpConnection):
        cure = "if this service may be asked, name it in allowed_addresses of the connection"
        return PermanentError(f"{text}; {cure}", code=HOST_DENIED)
    return BusinessError(HOST_DENIED, f"{text}; internal services are asked by a connection that allows them")


def _sent(outgoing: Outgoing, connection: Bounds, exchange: Exchange, *, at_home: bool) -> BaseHTTPResponse:
    address, patience = outgoing.address, exchange.patience()
    pool = _guard(Trust.of(connection, at_home=at_home)).pool(address.shown)
    answer = pool.urlopen(
        outgoing.method,
        address.target,
        body=outgoing.body,
        headers={"Host": address.authority, **outgoing.headers},
        retries=False,
        redirect=False,
        assert_same_host=False,
        timeout=Timeout(connect=min(connection.connect_timeout, patience), read=patience),
        preload_content=False,
        decode_content=False,
    )
    exchange.is_head = False
    return answer


def reached(address: Address, connection: Bounds, *, deadline: float) -> None:
    """Connect to a service, TLS included, and leave it again.

    Raises:
        TransientError: it cannot be reached.
        PermanentError: HOST_DENIED, or a file of the connection is wrong.
    """
    exchange = Exchange(deadline=deadline, read_timeout=connection.read_timeout, longest_idle=0.0)
    outgoing = Outgoing(method="connect to", address=address, headers={}, body=None, is_repeatable=True)
    try:
        with under_way(exchange):
            pool = _guard(Trust.of(connection, at_home=True)).pool(address.shown)
            connection_made = pool._new_conn()  # noqa: SLF001  # urllib3 has no other way to connect and say nothing
            connection_made.timeout = min(connection.connect_timeout, exchange.patience())
            connection_made.connect()
            connection_made.close()
    except Denied as error:
        raise denied(address, connection, at_home=True) from error
    except FAULTS as error:
        raise failure(error, outgoing, exchange) from error


@lru_cache(maxsize=MOST_GUARDS)
def _guard(trust: Trust) -> Guard:
    return Guard(trust.allowed, _tls(trust))


def _tls(trust: Trust) -> ssl.SSLContext:
    import certifi

    try:
        context = ssl.create_default_context(cafile=str(trust.ca[0]) if trust.ca else certifi.where())
        if trust.certificate:
            key = str(trust.key[0]) if trust.key else None
            # A password in any case: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(str(trust.certificate[0]), key, password=trust.password or "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; neither quotes what is in a file
        word = getattr(error, "reason", None) or type(error).__name__
        raise PermanentError(
            f"a certificate, its key or ca_file cannot be used: {word}", code="CONNECTION_INVALID"
        ) from None
    return context


def _dated(file: Path | None) -> tuple[Path, int] | None:
    """Return a file and when it was changed: what is exchanged counts at once."""
    if file is None:
        return None
    try:
        return file, file.stat().st_mtime_ns
    except OSError:
        raise PermanentError(f"the file {file} of a connection is not there", code="CONNECTION_INVALID") from None


def _reason(error: BaseException, exchange: Exchange) -> str:
    """Say what went wrong, in words that quote neither address nor content."""
    match error:
        case socket.gaierror() | UnicodeError():
            return "its name is not found"
        case ConnectTimeoutError() if not isinstance(error, NewConnectionError):
            return "no connection within the time"
        case NewConnectionError():
            return "no connection"
        case _ if exchange.has_endless_head:
            return "the head of its answer has no end"
        case SSLError() | ssl.SSLError():
            return f"TLS failed ({_tls_word(error)})"
        case ReadTimeoutError() | TimeoutError():
            return "no answer within the time"
        case ProtocolError() | HTTPException() | ValueError():
            return "the connection broke, or what came was no HTTP"
    return f"the connection broke ({type(error).__name__})"


def _tls_word(error: BaseException) -> str:
    """Return OpenSSL's own word for it, which names no content."""
    seen: list[object] = [error]
    while seen:
        each = seen.pop()
        if isinstance(each, ssl.SSLError):
            return str(getattr(each, "verify_message", None) or each.reason or "handshake")
        if isinstance(each, BaseException):
            seen.extend([*each.args, each.__cause__])
    return "handshake"
