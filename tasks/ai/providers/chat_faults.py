"""Turns what openai's client raises into our errors: what servers say beside the status counts before the status.

| the server says                                        | becomes                               |
| ------------------------------------------------------ | ------------------------------------- |
| that the question is too long                          | BusinessError CONTEXT_TOO_LONG        |
| that its filter refuses the question                   | BusinessError CONTENT_FILTERED        |
| that the quota is used up                              | PermanentError QUOTA_EXCEEDED         |
| that it takes no JSON Schema, or no tools              | PermanentError, naming the setting    |

All else is for `tasks.ai.providers.faults`.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2
import openai

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from tasks.ai.providers.faults import TIMED_OUT, broke_off, of_status, too_long, unreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tasks.ai.provider import Profile

TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
FILTERED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
UNFIT = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
HTTP_ERRORS = range(400, 600)
STREAM, STREAM_OPTIONS, TEMPERATURE = "stream", "stream_options", "temperature"
DISPENSABLE = (STREAM_OPTIONS, STREAM, TEMPERATURE)
"""What some models refuse and an answer can do without, in the order in which it is given up."""
REFUSALS = {
    STREAM_OPTIONS: re.compile(r"\bstream(s|ing|_options)?\b"),
    STREAM: re.compile(r"\bstream(s|ing)?\b"),
    TEMPERATURE: re.compile(r"\btemperature\b"),
}
"""The words that name each of them in a refusal."""
NOT_TAKEN = re.compile(
    r"unsupported|n[o']t support|no support|deprecated|unrecogni[sz]ed|forbidden|disabled|unavailable"
    r"|unknown[ _](param|field|name|arg|key|propert|option)|unexpected[ _](param|field|arg|key|propert)"
    r"|n[o']t (permitted|allowed|accepted|available|enabled|implemented)|can ?not|can't|must be (false|omitted|unset)"
    r"|only (the default|[\w.]+ is (allowed|supported))"
)
"""How servers say that they take no such thing at all; of a value they may say it too, beside a `BOUND`."""
BOUND = re.compile(
    r"(less|greater) than|at (most|least)|between|\brange\b|maximum|minimum|exceed|negative|positive"
    r"|too (high|large|low)|[<>]=|[≤≥]|\d ?\.\. ?\d|\d to \d|[\[(] ?[\d.]+ ?,"
)
"""How they say which temperatures they take: that of another question may be one, so nothing is learnt from it."""
NEEDED = {"response_format": "JSON_SCHEMA", "tools": "TOOLS"}
"""What a server may refuse that a step cannot do without, and the setting that says so beforehand."""


def task_error(error: openai.APIError, profile: Profile, *, model: str) -> TaskError:
    """Return the error a failed request amounts to."""
    if not isinstance(error, openai.APIStatusError):
        return _of_transport(error, profile)
    return _of_what_it_says(error, profile) or of_status(
        error.status_code, error.response.headers, profile, model=model, said=_message(error)
    )


def streamed_error(said: Mapping[str, object], response: httpx2.Response, profile: Profile, *, model: str) -> TaskError:
    """Return the error that a server's report within a stream amounts to; its code may be the status it had no more."""
    code = said.get("code")
    status = code if isinstance(code, int) and code in HTTP_ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR
    late = httpx2.Response(status, request=response.request)
    return task_error(openai.APIStatusError("", response=late, body=dict(said)), profile, model=model)


def declined(error: openai.APIError, sent: Collection[str]) -> str | None:
    """Return which dispensable part of a request a server refuses it for, of those that were sent."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in UNFIT:
        return None
    words = " ".join([*sorted(_codes(error)), _words(error)]).lower()
    if not NOT_TAKEN.search(words):
        return None
    named = (part for part in DISPENSABLE if part in sent and REFUSALS[part].search(words))
    return next((part for part in named if part != TEMPERATURE or not BOUND.search(words)), None)


def _of_transport(error: openai.APIError, profile: Profile) -> TaskError:
    """Tell what was never sent, which costs nothing, from what was, which may."""
    cause = error.__cause__ or error
    if isinstance(cause, NOT_SENT):
        return unreachable(profile, cause)
    if isinstance(error, openai.APITimeoutError):
        return TransientError(f"{profile.place} did not answer in time", code=TIMED_OUT)
    return broke_off(profile, type(cause).__name__)


def _of_what_it_says(error: openai.APIStatusError, profile: Profile) -> TaskError | None:
    codes = _codes(error)
    if codes & TOO_LONG:
        return too_long(profile)
    if codes & FILTERED:
        return BusinessError("CONTENT_FILTERED", f"the content filter of {profile.place} refused the question")
    if codes & OUT_OF_QUOTA:
        return PermanentError(f"the quota at {profile.place} is used up: see its billing page", code="QUOTA_EXCEEDED")
    if error.status_code in UNFIT and (part := next((part for part in NEEDED if part in _words(error)), None)):
        setting = profile.model_setting.removesuffix("MODEL") + NEEDED[part]
        return PermanentError(f"{profile.place} takes no {part}: set {setting}=false", code="REQUEST_REFUSED")
    return None


def _codes(error: openai.APIStatusError) -> set[str]:
    """Every place where servers put the machine's word for what is wrong."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("innererror")
    found = [error.code, error.type, inner.get("code") if isinstance(inner, dict) else None]
    return {code for code in found if isinstance(code, str)}


def _words(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return f"{body.get('param')} {body.get('message')} {_without_input(body.get('detail'))}".lower()


def _without_input(detail: object) -> object:
    """Leave out of each problem what it quotes of the request: that may hold any words."""
    if not isinstance(detail, list):
        return detail
    return [{name: each.get(name) for name in ("type", "loc", "msg")} for each in detail if isinstance(each, dict)]


def _message(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    message = body.get("message")
    if error.status_code not in UNFIT:
        return message if isinstance(message, str) else ""
    # Its sentence may quote the question: what the machine says of it must do.
    return ", ".join(str(body[name]) for name in ("code", "param") if isinstance(body.get(name), str))
