"""Tokens of a GitHub App: one for each installation, kept by the worker until shortly before it expires.

Source: GitHub's documentation of installation access tokens, which expire after one hour.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from github import Auth

from procos.domain.errors import TransientError
from procos.logs import keep_out_of_logs
from tasks.adapters.web import auth_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.adapters.github.connection import GitHubConnection

KEPT_SECONDS = 50 * 60.0
_lock = threading.Lock()
_tokens: dict[tuple[object, ...], tuple[str, float]] = {}
"""By connection, with the moment of the monotonic clock at which they are no longer used."""


def app_token(connection: GitHubConnection, ask: Callable[[Auth.AppAuth, str], dict[str, Any]]) -> tuple[str, bool]:
    """Return the token of a connection's installation, and whether it was made just now.

    Raises:
        PermanentError: AUTH_FAILED, where the private key is none.
        TransientError: GitHub says it made one, and gives none.
        TaskError: as `ask`.
    """
    with _lock:
        token, until = _tokens.get(_key(connection), ("", 0.0))
    if time.monotonic() < until:
        return token, False
    said = ask(_app(connection), f"/app/installations/{connection.installation_id}/access_tokens")
    made = said.get("token")
    if not isinstance(made, str) or not made:
        raise TransientError("GitHub gave the app no token", code="NO_ANSWER")
    keep_out_of_logs(made)
    with _lock:
        _tokens[_key(connection)] = made, time.monotonic() + KEPT_SECONDS
    return made, True


def forget(connection: GitHubConnection) -> None:
    """Use the token of a connection no more."""
    with _lock:
        _tokens.pop(_key(connection), None)


def _app(connection: GitHubConnection) -> Auth.AppAuth:
    """Return the app's own credentials; its key is tried at once, so that a wrong one is told from anything else."""
    key = connection.private_key.get_secret_value() if connection.private_key else ""
    app = Auth.AppAuth(connection.app_id or 0, key)
    try:
        app.create_jwt()
    except Exception:  # noqa: BLE001  # whatever its cryptography says, it says of the key, and may quote it
        raise auth_failed("GitHub", "private_key is no PEM key") from None
    return app


def _key(connection: GitHubConnection) -> tuple[object, ...]:
    return connection.base_url, connection.app_id, connection.installation_id, connection.private_key
