"""What a status means for a step: done, an end the model may catch, another try, patience, or nobody knows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from procos.domain.errors import RateLimited, TransientError
from tasks.adapters.calling import outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

TOO_MANY, UNAVAILABLE = HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
"""The request was not taken: RFC 9110, section 15.5.9, and RFC 8470, section 5.2."""
NOT_DONE = {HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED}
"""Of the 5xx, those that say that nothing was begun. The others may come after the work; a 503 without Retry-After,
which says that it will be taken later, also comes from proxies that have handed the request on."""
SERVER_ERRORS = range(500, 600)
SUCCESS = range(200, 300)
USUAL_WAIT = timedelta(seconds=30)
"""How long a step waits where a service asks for patience, and does not say how long."""
SECONDS = re.compile(r"[0-9]{1,9}")


def raise_if_later(status: int, place: str, *, wait: timedelta | None) -> None:
    """Return if a status asks neither for patience nor for another try; `wait` is what Retry-After says.

    Raises:
        RateLimited: 429, and 503 with Retry-After.
        TransientError: 408, 425 and 5xx.
    """
    if status == TOO_MANY or (status == UNAVAILABLE and wait is not None):
        raise RateLimited(f"{place} asks for patience with status {status}", retry_in=wait or USUAL_WAIT)
    if status in LATER or status in SERVER_ERRORS:
        raise TransientError(f"{place} answered with status {status}", code=f"HTTP_{status}")


def raise_if_unknown(
    status: int, place: str, *, wait: timedelta | None, is_repeatable: bool, is_over: bool = False
) -> None:
    """Return if a status that is no success says whether a request was carried out, or if that does not matter.

    Args:
        status: of the answer.
        place: who gave it.
        wait: what its Retry-After says.
        is_repeatable: whether the request may be sent again.
        is_over: whether it led to what must not be done twice, and this only asks for the result of that.

    Raises:
        PermanentError: OUTCOME_UNKNOWN.
    """
    if is_over:
        raise outcome_unknown(f"{place}: the request was taken, and what asked for its result got status {status}")
    is_put_off = status == UNAVAILABLE and wait is not None
    if not is_repeatable and status in SERVER_ERRORS and status not in NOT_DONE and not is_put_off:
        raise outcome_unknown(f"{place} answered with status {status}, and the request may have been carried out")


def waited(retry_after: str | None, *, longest_wait: float) -> timedelta | None:
    """Return how long Retry-After asks to wait, by seconds or a date, at most `longest_wait`; None where unsaid."""
    text = (retry_after or "").strip()
    longest = timedelta(seconds=longest_wait)
    if SECONDS.fullmatch(text):
        return min(timedelta(seconds=int(text)), longest)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - datetime.now(UTC), timedelta(0)), longest)


def is_fine(status: int, expected: Mapping[int, object] | list[int]) -> bool:
    """Whether a status is an answer and no error."""
    return status in SUCCESS or status in expected
