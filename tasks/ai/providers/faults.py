"""What a provider's refusal becomes: the error a process, the engine or an operator can act on, whatever its wire.

| the provider                                   | becomes                                                  |
| ---------------------------------------------- | -------------------------------------------------------- |
| does not answer, stalls, breaks off            | TransientError                                           |
| 408, 409, 425, 5xx                             | TransientError, after `Retry-After` where there is one   |
| 429                                            | RateLimited                                              |
| 401, 403                                       | PermanentError AUTH_FAILED, naming the setting           |
| 404                                            | PermanentError MODEL_NOT_FOUND, naming model and address |
| 413                                            | BusinessError CONTEXT_TOO_LONG                           |
| anything else                                  | PermanentError REQUEST_REFUSED                           |

What a provider says may quote the question, and on 401 part of the key: 401 and 403 are told in our own words, of a
refused request only the machine's code, the rest is cut short, and the key is struck out. Each adapter looks first at
what its own servers say beside the status.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError, TransientError
from tasks.ai.model_text import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.provider import Profile

UNREACHABLE = "PROVIDER_UNREACHABLE"
TIMED_OUT = "PROVIDER_TIMED_OUT"
STALLED = "PROVIDER_STALLED"
BROKE_OFF = "PROVIDER_BROKE_OFF"
FAILED = "PROVIDER_FAILED"
TROUBLES = frozenset({UNREACHABLE, TIMED_OUT, STALLED, BROKE_OFF, FAILED})
"""The codes that say the provider itself is in trouble, whatever it is asked."""

AGAIN = "TRY_AGAIN"
"""The code of a refusal that is about this one request."""
NO_TIME, OUT_OF_TIME = "NO_TIME", "OUT_OF_TIME"
"""The codes of a step whose own time is up, before it has asked and while it waits, whoever it waits for."""

TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}
DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

DEFAULT_PATIENCE = timedelta(seconds=30)
LEAST_PATIENCE = timedelta(seconds=1)
MOST_PATIENCE = timedelta(days=1)


def of_status(status: int, headers: Mapping[str, str], profile: Profile, *, model: str, said: str = "") -> TaskError:
    """Return the error a status amounts to; `said` is the server's own message."""
    quoted = f" ({excerpt(said, secret=profile.api_key)})" if said else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(
            f"{profile.place} asks for patience", retry_in=retry_after(headers) or DEFAULT_PATIENCE
        )  # fmt: skip
    if status in TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        retry_in, code = retry_after(headers), AGAIN if status in TRY_AGAIN else FAILED
        return TransientError(f"{profile.place} answered {status}{quoted}", code=code, retry_in=retry_in)
    if status in DENIED:
        return PermanentError(f"{profile.place} refuses us ({status}): check {profile.key_setting}", code="AUTH_FAILED")
    if status == HTTPStatus.NOT_FOUND:
        return PermanentError(
            f"{profile.place} does not know model {model!r}{quoted}:"
            f" check {profile.model_setting} and {profile.address_setting}",
            code="MODEL_NOT_FOUND",
        )
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return too_long(profile)
    return PermanentError(f"{profile.place} answered {status}{quoted}", code="REQUEST_REFUSED")


def too_long(profile: Profile) -> BusinessError:
    """Return the error for a question that does not fit the model."""
    return BusinessError("CONTEXT_TOO_LONG", f"the question is longer than {profile.place} can take")


def unreachable(profile: Profile, cause: BaseException) -> TransientError:
    """Return the error for a server that cannot be connected to."""
    return TransientError(
        f"{profile.place} cannot be reached: {excerpt(str(cause), secret=profile.api_key)}", code=UNREACHABLE
    )


def broke_off(profile: Profile, reason: str = "") -> TransientError:
    """Return the error for an answer that ends before it is whole."""
    return TransientError(f"{profile.place} broke off its answer" + (f": {reason}" if reason else ""), code=BROKE_OFF)


def too_large(profile: Profile, largest: int) -> PermanentError:
    """Return the error for an answer that is not read to its end."""
    return PermanentError(f"{profile.place} sent an answer of more than {largest} bytes", code="BAD_ANSWER")


def not_an_answer(profile: Profile, flaw: str) -> PermanentError:
    """Return the error for something that is no answer of a model; most likely the address is another service's."""
    return PermanentError(
        f"{profile.place} answered with something that is not a chat completion ({flaw}):"
        f" check {profile.address_setting}",
        code="BAD_ANSWER",
    )


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long a server asks us to wait, within reason; None where it does not say, or not legibly."""
    said = (
        _duration(headers.get("retry-after-ms"), timedelta(milliseconds=1)),
        _duration(headers.get("retry-after"), timedelta(seconds=1)),
        _until(headers),
    )
    wait = next((each for each in said if each is not None), None)
    return None if wait is None else min(max(wait, LEAST_PATIENCE), MOST_PATIENCE)


def _duration(number: str | None, unit: timedelta) -> timedelta | None:
    try:
        return float(number or "nan") * unit
    except (ValueError, OverflowError):
        return None


def _until(headers: Mapping[str, str]) -> timedelta | None:
    """The wait up to a date, by the server's clock, since ours may differ."""
    try:
        return parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
