"""Whether a provider answers at all: one cheap request, whose answer counts for a few seconds.

It asks for the list of models, which costs nothing and loads none. However slowly the answer drips, it has to be there
within the health timeout, and a step that is cancelled does not wait for it.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from procos.logs import get_logger
from tasks.ai.providers.lookout import checked
from tasks.ai.providers.waiting import client

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
    limit = profile.health_timeout.total_seconds()
    end = time.monotonic() + limit

    def check() -> None:
        if time.monotonic() > end:
            raise httpx2.ReadTimeout(f"no answer within {limit:g} s")

    try:
        # The status is all that counts: the list may be long, and is not read.
        with checked(check), _client().stream("GET", url, headers=dict(headers), timeout=limit) as response:
            status = response.status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        log.warning("ai.unavailable", provider=profile.name, reason=type(error).__name__)
        return f"{profile.place} does not answer ({type(error).__name__})"
    if status == HTTPStatus.OK or (may_lack and status < HTTPStatus.INTERNAL_SERVER_ERROR):
        return ""
    return f"{profile.place} answered {status}"


@cache
def _client() -> httpx2.Client:
    return client()
