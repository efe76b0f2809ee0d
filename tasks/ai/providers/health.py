"""Whether a provider answers at all: one cheap request, whose answer counts for a few seconds.

It asks for the list of models, which costs nothing and loads none.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests

from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.ai.provider import Profile

KEPT_SECONDS = 10.0
LONGEST_KEPT = 256

log = get_logger(__name__)
_known: dict[tuple[str, str], tuple[float, str]] = {}
_lock = threading.Lock()


def of(
    profile: Profile,
    url: str,
    headers: Mapping[str, str],
    *,
    may_lack: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return why a provider cannot be used now, or nothing; one that `may_lack` the list is well if it answers."""
    key = (url, profile.name)
    with _lock:
        asked_at, reason = _known.get(key, (float("-inf"), ""))
    if clock() - asked_at < KEPT_SECONDS:
        return reason
    reason = _asked(profile, url, headers, may_lack=may_lack)
    with _lock:
        if len(_known) >= LONGEST_KEPT:
            _known.clear()
        _known[key] = (clock(), reason)
    return reason


def forget() -> None:
    """Ask anew from now on."""
    with _lock:
        _known.clear()


def _asked(profile: Profile, url: str, headers: Mapping[str, str], *, may_lack: bool) -> str:
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(
                url,
                headers=dict(headers),
                timeout=profile.health_timeout.total_seconds(),
                allow_redirects=False,
                stream=True,  # the status is all that counts, the list may be long
            )
            response.close()
    except requests.RequestException as error:
        log.warning("ai.unavailable", provider=profile.name, reason=type(error).__name__)
        return f"{profile.place} does not answer ({type(error).__name__})"
    if response.status_code == HTTPStatus.OK or (may_lack and response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR):
        return ""
    return f"{profile.place} answered {response.status_code}"
