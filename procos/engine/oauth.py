"""A bearer token by OAuth2 client credentials, fetched ahead of need and shared by every thread.

`Access` asks for the token with every request and says when the engine refused one. While a token is valid no call
waits for the token server, and none fails because it is down.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from procos.domain.addresses import without_secrets
from procos.domain.errors import (
    EngineDeniedError,
    EngineMisconfiguredError,
    EngineUnreachableError,
    ProcosError,
)
from procos.engine.answers import NoAnswerError
from procos.engine.connections import basic, is_success, json_in, target_of
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.engine.answers import HttpAnswer
    from procos.engine.connections import Connections
    from procos.settings import EngineSettings

REFRESH_AT = 0.8
"""The part of a token's life after which another one is fetched."""
USUAL_LIFE = 300.0
"""Seconds a token is taken to live where the token server does not say."""
PAUSE = 1.0
"""Seconds between two tries at a token server that failed; every thread would wait for it otherwise."""
NEW = 5.0
"""Seconds in which another token would be refused like this one: the engine does not trust the token server."""
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_MANY, SERVER_ERROR = 400, 401, 403, 429, 500
LONGEST_REASON = 200
CURE = "PROCOS_ENGINE_OAUTH_TOKEN_URL says where it is."

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    value: str
    since: float
    refresh_at: float
    ends_at: float


class ClientCredentials:
    """Holds the token of one OAuth2 client; may be shared by threads."""

    def __init__(
        self, settings: EngineSettings, connections: Connections, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        address = settings.oauth_token_url or ""
        self._target, self._shown = target_of(address), without_secrets(address)
        self._id = settings.oauth_client_id or ""
        self._secret = settings.oauth_client_secret.get_secret_value() if settings.oauth_client_secret else ""
        self._scope = settings.oauth_scope
        self._connections, self._now = connections, now
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._failed: tuple[float, ProcosError] | None = None
        self._in_body = False

    def token(self) -> str:
        """Return a token that is valid; fetches one when there is none, or when the one held grows old.

        Raises:
            EngineUnreachableError: the token server does not answer.
            EngineDeniedError: it refuses the client.
            EngineMisconfiguredError: it is no token server.
        """
        held, now = self._held, self._now()
        if held and now < held.refresh_at:
            return held.value
        if held and now < held.ends_at:
            return self._refreshed(held)
        with self._lock:
            if self._held is None or self._held is held:
                self._held = self._fetch()
            return self._held.value

    def renewed(self, refused: str) -> str:
        """Return another token than the one the engine has just refused, unless that one was new.

        Raises:
            EngineUnreachableError, EngineDeniedError, EngineMisconfiguredError: there is none to be had.
        """
        with self._lock:
            held = self._held
            if held and (held.value != refused or self._now() < held.since + NEW):
                return held.value
            self._held = None
            self._held = self._fetch()
            return self._held.value

    def _refreshed(self, held: _Held) -> str:
        """Let one thread fetch the next token, while the others use the one there is."""
        if not self._lock.acquire(blocking=False):
            return held.value
        try:
            if self._held is held:
                self._held = self._fetch()
        except ProcosError:
            return held.value  # it is valid still
        finally:
            self._lock.release()
        return (self._held or held).value

    def _fetch(self) -> _Held:
        if self._failed and self._now() < self._failed[0] + PAUSE:
            raise self._failed[1]
        try:
            held = self._read(self._ask())
        except ProcosError as error:
            self._failed = (self._now(), error)
            log.warning("token.not_fetched", token_server=self._shown, reason=str(error))
            raise
        self._failed = None
        return held

    def _ask(self) -> HttpAnswer:
        """Send id and secret as the standard has it, and as fields where the server wants them there."""
        answer = self._post()
        if answer.status in {BAD_REQUEST, UNAUTHORIZED} and _error_of(answer) in {"", "invalid_client"}:
            self._in_body = not self._in_body
            other = self._post()
            if is_success(other.status):
                return other
            self._in_body = not self._in_body
        return answer

    def _post(self) -> HttpAnswer:
        fields = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._in_body:
            fields |= {"client_id": self._id, "client_secret": self._secret}
        else:
            headers["Authorization"] = basic(quote_plus(self._id), quote_plus(self._secret))
        try:
            return self._connections.call("POST", self._target, body=urlencode(fields).encode(), headers=headers)
        except NoAnswerError as error:
            raise self._unreachable(f"does not answer: {error.reason}") from error

    def _read(self, answer: HttpAnswer) -> _Held:
        status = answer.status
        if status == TOO_MANY or status >= SERVER_ERROR:
            raise self._unreachable(f"answers {status}")
        if status in {BAD_REQUEST, UNAUTHORIZED, FORBIDDEN}:
            raise EngineDeniedError(
                f"the token server {self._shown} refuses the client ({status} {_error_of(answer)}".rstrip()
                + "). Set PROCOS_ENGINE_OAUTH_CLIENT_ID, PROCOS_ENGINE_OAUTH_CLIENT_SECRET"
                + (" and PROCOS_ENGINE_OAUTH_SCOPE." if self._scope else "."),
                status=status,
            )
        body = _object_of(answer)
        token = body.get("access_token")
        if (
            not is_success(status)
            or not isinstance(token, str)
            or not (token.isascii() and token.isprintable() and token)
        ):
            raise EngineMisconfiguredError(
                f"{self._shown} does not answer like an OAuth2 token server ({status}). "
                "PROCOS_ENGINE_OAUTH_TOKEN_URL is where client credentials get a token.",
                status=status,
            )
        life = _seconds(body.get("expires_in"))
        now = self._now()
        return _Held(value=token, since=now, refresh_at=now + life * REFRESH_AT, ends_at=now + life)

    def _unreachable(self, what: str) -> EngineUnreachableError:
        return EngineUnreachableError(self._shown, f"the token server {what}", cure=CURE)


def _object_of(answer: HttpAnswer) -> dict[str, Any]:
    body = json_in(answer.data)
    return body if isinstance(body, dict) else {}


def _error_of(answer: HttpAnswer) -> str:
    """Return the standard's word for what is wrong, such as invalid_client."""
    return str(_object_of(answer).get("error") or "")[:LONGEST_REASON]


def _seconds(value: object) -> float:
    """Read a life in seconds, which some servers send as text."""
    try:
        life = float(str(value))
    except ValueError:
        return USUAL_LIFE
    return life if 0 < life < float("inf") else USUAL_LIFE
