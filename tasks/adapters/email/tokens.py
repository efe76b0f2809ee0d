"""Access tokens for XOAUTH2: as they stand in the connection, or from who issues them (RFC 6749, 4.4 and 6).

A token is kept by the process until shortly before it runs out, and forgotten when a mail server refuses it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from procos.domain.errors import PermanentError, TransientError
from procos.logs import keep_out_of_logs
from tasks.adapters.email.replies import AUTH_FAILED
from tasks.adapters.exchange import Answer, AnswerLostError, NothingSentError, Request, Way, exchange
from tasks.adapters.web import asks_for_patience, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.adapters.email.connection import EmailConnection

EARLIER = 60.0
"""Seconds before its end in which a token is used no more."""
USUAL_LIFE = 300.0
"""Seconds a token counts as good where nobody says for how long it is."""
LONGEST_LIFE = 3600.0
"""Seconds after which one is used no more, however long it is said to be good."""
MOST_KEPT = 100
LARGEST_ANSWER = 64 * 1024
SECONDS = 15.0
PATIENCE = timedelta(minutes=1)
"""Where nobody says for how long."""
HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "User-Agent": "procos",
}
BAD_GATEWAY, TOO_MANY, GOOD = 500, 429, 200

_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    token: str
    until: float


_kept: dict[str, _Kept] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token, and whether it was kept for a while, so that a fresh one may do where it does not."""

    text: str
    was_kept: bool


def access_token(connection: EmailConnection, *, deadline: float) -> Token:
    """Return a token that is good now.

    Raises:
        PermanentError: AUTH_FAILED: whoever issues them refuses.
        TransientError: they are not there.
        RateLimited: they ask for patience.
    """
    if connection.access_token is not None:
        return Token(text=connection.access_token.get_secret_value(), was_kept=False)
    key, now = _key(connection), time.monotonic()
    with _lock:
        kept = _kept.get(key)
    if kept is not None and kept.until > now:
        return Token(text=kept.token, was_kept=True)
    fresh = _issued(connection, deadline=deadline, now=now)
    with _lock:
        while len(_kept) >= MOST_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = fresh
    return Token(text=fresh.token, was_kept=False)


def forget(connection: EmailConnection) -> None:
    """Forget a token that was refused."""
    with _lock:
        _kept.pop(_key(connection), None)


def _key(connection: EmailConnection) -> str:
    secrets = (connection.client_secret, connection.refresh_token)
    known = (connection.token_url, connection.client_id, connection.scope)
    parts = (*known, *(secret and secret.get_secret_value() for secret in secrets))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _issued(connection: EmailConnection, *, deadline: float, now: float) -> _Kept:
    answer = _asked(connection, deadline=deadline)
    token, life = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise PermanentError(f"{connection.token_url} answers without an access token", code=AUTH_FAILED)
    keep_out_of_logs(token)
    seconds_good = min(life, LONGEST_LIFE) if isinstance(life, int | float) and life > 0 else USUAL_LIFE
    return _Kept(token=token, until=now + max(seconds_good - EARLIER, 0.0))


def _asked(connection: EmailConnection, *, deadline: float) -> Mapping[str, Any]:
    """Ask for a token: one request, no redirect."""
    where = str(connection.token_url)
    request = Request(method="POST", url=where, headers=HEADERS, body=urlencode(_form(connection)).encode())
    until = min(deadline, time.monotonic() + SECONDS)
    way = Way(deadline=until, connect_seconds=connection.connect_timeout, largest_answer=LARGEST_ANSWER)
    try:
        answer = exchange(request, way)
    except (NothingSentError, AnswerLostError) as error:  # a token too many does no harm
        text = f"{where}, which issues access tokens, was not reached, or gave no answer: {error}"
        raise TransientError(text, code="UNREACHABLE") from None
    return _read(where, answer)


def _form(connection: EmailConnection) -> dict[str, str]:
    form = {"grant_type": "client_credentials", "client_id": connection.client_id or ""}
    if connection.client_secret is not None:
        form["client_secret"] = connection.client_secret.get_secret_value()
    if connection.scope is not None:
        form["scope"] = connection.scope
    if connection.refresh_token is not None:
        form |= {"grant_type": "refresh_token", "refresh_token": connection.refresh_token.get_secret_value()}
    return form


def _read(where: str, answer: Answer) -> Mapping[str, Any]:
    status, issuer = answer.status, f"{where}, which issues access tokens"
    if status == TOO_MANY:
        raise asks_for_patience(issuer, retry_after(answer.headers, otherwise=PATIENCE))
    if status >= BAD_GATEWAY:
        raise TransientError(f"{issuer}, answers {status}", code="UNREACHABLE")
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    if status == GOOD and isinstance(said, dict):
        return said
    cure = "look at token_url, client_id, client_secret, scope and refresh_token of the connection"
    raise PermanentError(f"{where} issues no access token: {status}; {cure}", code=AUTH_FAILED)
