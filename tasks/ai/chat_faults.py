"""Turns what openai's client raises into the error a process, the bridge or an operator can act on.

| the provider                                   | becomes                                                  |
| ---------------------------------------------- | -------------------------------------------------------- |
| does not answer, 408, 409, 425, 5xx            | TransientError, after `Retry-After` where there is one   |
| 429                                            | RateLimited; PermanentError where the quota is used up   |
| 401, 403                                       | PermanentError AUTH_FAILED, naming the setting           |
| 404                                            | PermanentError naming model and address                  |
| filters the question                           | BusinessError CONTENT_FILTERED                           |
| says the question is too long, 413             | BusinessError CONTEXT_TOO_LONG                           |
| anything else                                  | PermanentError with the beginning of what it said        |

What a provider says may quote the question, and on 401 part of the key: 401 and 403 are told in our own words,
the rest is cut short, and the key is struck out.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError, TransientError
from tasks.ai.model_text import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.providers import Provider

TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
FILTERED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
TRY_AGAIN = {408, 409, 425}
DENIED = {401, 403}
UNFIT = {400, 422}
HTTP_ERRORS = range(400, 600)

DEFAULT_PATIENCE = timedelta(seconds=30)
LEAST_PATIENCE = timedelta(seconds=1)
MOST_PATIENCE = timedelta(minutes=5)


def task_error(error: openai.APIError, provider: Provider, *, model: str) -> TaskError:
    """Return the error a failed request amounts to."""
    place = f"{provider.name} at {provider.address}"
    if isinstance(error, openai.APITimeoutError):
        return TransientError(f"{place} did not answer in time")
    if not isinstance(error, openai.APIStatusError):
        return TransientError(f"{place} cannot be reached: {_cause(error)}")
    return _of_what_it_says(error, place) or _of_status(error, provider, place, model)


def streamed_error(said: Mapping[str, Any], response: httpx2.Response, provider: Provider, *, model: str) -> TaskError:
    """Return the error that a server's report within a stream amounts to; its code may be the status it had no more."""
    code = said.get("code")
    status = code if isinstance(code, int) and code in HTTP_ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR
    late = httpx2.Response(status, request=response.request)
    return task_error(openai.APIStatusError("", response=late, body=dict(said)), provider, model=model)


def declines_streaming(error: openai.APIError) -> bool:
    """Whether a server refuses a request for how it shall answer: older ones, and some models, do not stream."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in UNFIT:
        return False
    body = error.body if isinstance(error.body, dict) else {}
    return "stream" in f"{body.get('param')} {body.get('message')} {body.get('detail')}".lower()


def _of_what_it_says(error: openai.APIStatusError, place: str) -> TaskError | None:
    codes = _codes(error)
    if codes & TOO_LONG or error.status_code == 413:  # noqa: PLR2004  # Content Too Large
        return BusinessError("CONTEXT_TOO_LONG", f"the question is longer than {place} can take")
    if codes & FILTERED:
        return BusinessError("CONTENT_FILTERED", f"the content filter of {place} refused the question")
    if codes & OUT_OF_QUOTA:
        return PermanentError(f"the quota at {place} is used up: see its billing page", code="QUOTA_EXCEEDED")
    return None


def _of_status(error: openai.APIStatusError, provider: Provider, place: str, model: str) -> TaskError:
    status = error.status_code
    if status == 429:  # noqa: PLR2004  # Too Many Requests
        return RateLimited(
            f"{place} asks for patience", retry_in=retry_after(error.response.headers) or DEFAULT_PATIENCE
        )
    if status in TRY_AGAIN or status >= 500:  # noqa: PLR2004  # server errors
        retry_in = retry_after(error.response.headers)
        return TransientError(f"{place} answered {status}{_said(error, provider)}", retry_in=retry_in)
    if status in DENIED:
        return PermanentError(f"{place} refuses us ({status}): check {provider.key_setting}", code="AUTH_FAILED")
    if status == 404:  # noqa: PLR2004  # Not Found
        return PermanentError(
            f"{place} does not know model {model!r}{_said(error, provider)}:"
            f" check {provider.model_setting} and {provider.address_setting}",
            code="MODEL_NOT_FOUND",
        )
    return PermanentError(f"{place} answered {status}{_said(error, provider)}", code="REQUEST_REFUSED")


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


def _codes(error: openai.APIStatusError) -> set[str]:
    """Every place where servers put the machine's word for what is wrong."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("innererror")
    found = [error.code, error.type, inner.get("code") if isinstance(inner, dict) else None]
    return {code for code in found if isinstance(code, str)}


def _said(error: openai.APIStatusError, provider: Provider) -> str:
    body: Any = error.body
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, str) or not message:
        return ""
    return f" ({excerpt(message, secret=provider.api_key)})"


def _cause(error: openai.APIError) -> str:
    return excerpt(str(error.__cause__ or error))
