"""What adapters of services on the web share: their connection's fields, and what an exchange that failed means.

A closed table for all of them: not reached, or told to come back, is another try; told to wait is a postponement; an
answer that was lost is another try where the operation may be done twice, and OUTCOME_UNKNOWN where it may not.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from procos.domain.errors import PermanentError, RateLimited, TaskError, TransientError
from tasks.adapters.adapter import Connection
from tasks.adapters.calling import outcome_unknown
from tasks.adapters.exchange import Way

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH_FAILED = "AUTH_FAILED"
LARGEST_ANSWER = 8 * 1024 * 1024
"""A hundred issues with the longest text GitHub takes (64 KiB) have less, and nothing else we ask for comes near."""
SHORTEST_PATIENCE, LONGEST_PATIENCE = timedelta(seconds=1), timedelta(hours=1)
"""GitHub counts by the hour and Slack by the minute, so more is a mistake; asking again costs little."""
UNAVAILABLE = 503
"""RFC 9110 §15.6.4: the server cannot handle the request now. Proxies say so of requests they have handed on, too;
only with Retry-After it is sure that nothing was begun. Of other 5xx nobody says how far they came."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _is_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("expected an address such as https://service.example.org/api")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("expected https: over http the token could be read by anybody on the way")
    if re.search(r"[\s\x00-\x1f\x7f]", url) or parts.port == 0:  # a port that is none raises by itself
        raise ValueError("expected an address without blanks")
    return url.rstrip("/")


def _is_proxy(value: SecretStr | None) -> SecretStr | None:
    parts = urlsplit(value.get_secret_value()) if value else None
    if parts and (parts.scheme != "http" or not parts.hostname or parts.port == 0):
        raise ValueError("expected http://host:port, or http://user:password@host:port")
    return value


Address = Annotated[str, AfterValidator(_is_address)]


class WebConnection(Connection):
    """How a service on the web is reached."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    timeout: float = Field(30.0, gt=0, le=600)
    """Seconds for one call as a whole; never more than the step has left."""
    connect_timeout: float = Field(5.0, gt=0, le=60)
    """Seconds to open the connection."""
    ca_file: str | None = None
    """A file of the authorities to trust, instead of those of the system."""
    proxy: Annotated[SecretStr | None, AfterValidator(_is_proxy)] = None
    """A proxy, http://host:port; none is taken from the environment."""

    def way(self, deadline: float) -> Way:
        """Return how the service is reached within a call."""
        return Way(
            deadline=min(deadline, time.monotonic() + self.timeout),
            connect_seconds=self.connect_timeout,
            largest_answer=LARGEST_ANSWER,
            ca_file=self.ca_file,
            proxy=self.proxy.get_secret_value() if self.proxy else None,
        )


def not_reached(service: str, why: object) -> TransientError:
    """Say that a service was not asked at all."""
    return TransientError(f"{service} was not reached: {why}", code="UNREACHABLE")


def answer_lost(deed: str, why: object, *, is_repeatable: bool) -> TaskError:
    """Say that a service was asked, and what came of it is not known."""
    if is_repeatable:
        return TransientError(f"{deed}: {why}", code="NO_ANSWER")
    return outcome_unknown(f"{deed}: {why}, and it may have been done")


def broken(deed: str, status: int, *, is_repeatable: bool, headers: Mapping[str, str] | None = None) -> TaskError:
    """Say that a service failed of itself, with a status of 500 or more; `headers` are those of its answer."""
    if status == UNAVAILABLE and (is_repeatable or "retry-after" in (headers or {})):
        return TransientError(f"{deed}: the service is unavailable (HTTP {status})", code="UNAVAILABLE")
    return answer_lost(deed, f"the service failed (HTTP {status})", is_repeatable=is_repeatable)


def auth_failed(service: str, why: str) -> PermanentError:
    """Say that a service does not let the connection in; only an operator can mend that."""
    return PermanentError(f"{service} refuses the connection's credentials: {why}", code=AUTH_FAILED)


def asks_for_patience(deed: str, wait: timedelta) -> RateLimited:
    """Say that a service wants to be left alone for a while, within bounds."""
    retry_in = min(max(wait, SHORTEST_PATIENCE), LONGEST_PATIENCE)
    return RateLimited(f"{deed}: the rate limit is reached", retry_in=retry_in)


def retry_after(headers: Mapping[str, str], *, otherwise: timedelta) -> timedelta:
    """Return how long `Retry-After` asks to wait: seconds, or a date (RFC 9110 §10.2.3)."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return timedelta(seconds=int(said[:9]))
    moment = _moment(said)
    return moment - now_of(headers) if moment else otherwise


def now_of(headers: Mapping[str, str]) -> datetime:
    """Return what time it is at the service, where it says so; else here."""
    return _moment(headers.get("date", "")) or datetime.now(UTC)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
