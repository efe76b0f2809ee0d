"""How a request shows who we are: by headers or a query parameter, from fields of the connection alone.

A token of OAuth2 client credentials (RFC 6749, section 4.4) is kept in the process until shortly before it runs out,
under all that it was got by, so that two connections never share one. It is a secret that the wrapper of a task has not
handed out, so it is kept out of logs and answers here.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

from procos.domain.errors import BusinessError, PermanentError, TransientError
from procos.logs import keep_out_of_logs
from tasks.adapters.http.address import parsed
from tasks.adapters.http.reading import pieces
from tasks.adapters.http.transport import Outgoing, sent
from tasks.adapters.http.verdict import raise_if_later, waited

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.adapters.http.address import Address
    from tasks.adapters.http.connection import HttpConnection
    from tasks.adapters.http.wire import Exchange

AUTH_FAILED = "AUTH_FAILED"
OK = 200
LARGEST_TOKEN_ANSWER = 64 * 1024
MARGIN, USUAL_LIFE = 30.0, 300.0
"""Seconds a token is given up before its end, and how long one lives that says nothing."""
TOKEN = re.compile(r"[\x21-\x7e]{4,16000}")
ERROR_WORD = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is added to a request."""

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, object] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)
    """The OAuth2 token in it, if there is one: an answer of 401 may mean that it has run out."""


def shown(connection: HttpConnection, exchange: Callable[[], Exchange], *, instead_of: str | None = None) -> Shown:
    """Return what shows who we are; `instead_of` is a token that was refused.

    Raises:
        PermanentError: AUTH_FAILED, where the token server refuses us.
        TransientError, RateLimited: it gives none now; nothing was sent to the service.
    """
    if connection.user is not None:
        pair = f"{connection.user}:{connection.password.get_secret_value()}".encode()
        return Shown(headers={"Authorization": f"Basic {b64encode(pair).decode()}"})
    if connection.token is not None:
        return _bearer(connection.token.get_secret_value())
    if connection.api_key is not None:
        key = connection.api_key.get_secret_value()
        if connection.api_key_query:
            return Shown(query={connection.api_key_query: key})
        return Shown(headers={connection.api_key_header: key})
    if connection.client_id is not None:
        token = TOKENS.token(connection, exchange, instead_of=instead_of)
        return Shown(headers={"Authorization": f"Bearer {token}"}, token=token)
    return Shown()


def _bearer(token: str) -> Shown:
    return Shown(headers={"Authorization": f"Bearer {token}"})


@dataclass(slots=True)
class _Place:
    """Where one token is kept; who holds the lock asks for it, the others have what comes."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    ends: float = 0.0


class _Tokens:
    """The tokens of this process, each with a lock of its own: one server that hangs makes nobody else wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[bytes, _Place] = {}

    def token(self, connection: HttpConnection, exchange: Callable[[], Exchange], *, instead_of: str | None) -> str:
        """Return a token, the one we have unless it is the one that was refused.

        Raises:
            PermanentError, TransientError, RateLimited: as `shown`.
        """
        asking = exchange()
        with self._lock:
            place = self._places.setdefault(_key(connection), _Place())
        if not place.lock.acquire(timeout=max(asking.deadline - time.monotonic(), 0.0)):
            raise TransientError("the token server leaves another step waiting", code="TOKEN_MISSING")
        try:
            if not place.token or place.token == instead_of or time.monotonic() >= place.ends:
                place.token, life = _fetched(connection, asking)
                place.ends = time.monotonic() + max(life - MARGIN, life / 2)
            token = place.token
        finally:
            place.lock.release()
        keep_out_of_logs(token)
        return token

    def forget(self) -> None:
        """Forget all of them."""
        self._places.clear()


TOKENS = _Tokens()


def _key(connection: HttpConnection) -> bytes:
    secret = connection.client_secret.get_secret_value() if connection.client_secret else ""
    by = (connection.token_auth, connection.ca_file, connection.client_certificate, connection.client_key)
    parts = (connection.token_url, connection.client_id, secret, connection.scope, connection.audience, *map(str, by))
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _fetched(connection: HttpConnection, exchange: Exchange) -> tuple[str, float]:
    """Ask the token server; asking twice costs a token more."""
    outgoing = _question(connection)
    answer = sent(outgoing, connection, exchange, at_home=True)
    place = f"the token server {outgoing.address.place}"
    try:
        content = b"".join(pieces(answer, outgoing, exchange, largest=LARGEST_TOKEN_ANSWER))
        found = json.loads(content)
    except (BusinessError, ValueError, RecursionError):
        found = None
    wait = waited(answer.headers.get("retry-after"), longest_wait=connection.longest_wait)
    raise_if_later(answer.status, place, wait=wait)
    found = found if isinstance(found, dict) else {}
    if answer.status != OK:
        word = found.get("error")
        said = f" ({word})" if isinstance(word, str) and ERROR_WORD.fullmatch(word) else ""
        raise PermanentError(f"{place} refuses us with status {answer.status}{said}", code=AUTH_FAILED)
    token, life = found.get("access_token"), found.get("expires_in", USUAL_LIFE)
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise TransientError(f"{place} answered without a token", code="TOKEN_MISSING")
    return token, _seconds(life)


def _question(connection: HttpConnection) -> Outgoing:
    assert connection.token_url is not None  # noqa: S101  # the model asks for it
    assert connection.client_secret is not None  # noqa: S101  # the same
    address = _token_address(connection.token_url)
    client, secret = connection.client_id or "", connection.client_secret.get_secret_value()
    form = {"grant_type": "client_credentials", "scope": connection.scope, "audience": connection.audience}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if connection.token_auth == "basic":  # noqa: S105  # how, not what
        pair = f"{quote_plus(client)}:{quote_plus(secret)}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    else:
        form |= {"client_id": client, "client_secret": secret}
    body = urlencode({name: value for name, value in form.items() if value}).encode()
    headers["Content-Length"] = str(len(body))
    return Outgoing(method="POST", address=address, headers=headers, body=body, is_repeatable=True)


def _token_address(text: str) -> Address:
    try:
        return parsed(text, "token_url")
    except BusinessError as error:
        raise PermanentError(f"a connection's {error.message}", code="CONNECTION_INVALID") from None


def _seconds(life: object) -> float:
    try:
        seconds = float(life)  # type: ignore[arg-type]  # whatever a server says
    except (TypeError, ValueError, OverflowError):
        return USUAL_LIFE
    return min(max(seconds, 1.0), 24 * 3600.0) if seconds == seconds else USUAL_LIFE  # noqa: PLR0124  # NaN
