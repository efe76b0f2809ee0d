"""What GitHub's answers mean to a step: one closed table of status and words.

Source: GitHub's REST documentation, "Troubleshooting" and "Rate limits": a limit is told by 403 or 429, and how long to
wait by `retry-after`, else by `x-ratelimit-reset` where `x-ratelimit-remaining` is 0, else at least a minute.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, TaskError, TransientError
from tasks.adapters.web import asks_for_patience, auth_failed, broken, now_of, retry_after

if TYPE_CHECKING:
    from tasks.adapters.exchange import Answer

NOT_FOUND, INVALID_INPUT, ALREADY_EXISTS, REFUSED = "NOT_FOUND", "INVALID_INPUT", "ALREADY_EXISTS", "REFUSED"
PATIENCE = timedelta(minutes=1)
LONGEST_TEXT, MOST_SHOWN = 500, 5
WORD = re.compile(r"[A-Za-z0-9_]{1,40}")
SAYS_LIMIT = ("api rate limit exceeded", "you have exceeded a secondary rate limit")
EXISTS = "a pull request already exists"
ARCHIVED = "repository was archived"


def verdict(deed: str, answer: Answer, *, is_repeatable: bool) -> TaskError:
    """Return what an answer means that is no success."""
    said = _said(answer.body)
    text = said["message"][:LONGEST_TEXT] if isinstance(said.get("message"), str) else ""
    match answer.status:
        case 403 | 429 if answer.status == 429 or _is_limit(answer, text):  # noqa: PLR2004  # RFC 6585 §4
            return asks_for_patience(deed, _wait(answer))
        case 401:
            return auth_failed("GitHub", "HTTP 401; it is unknown, revoked or expired")
        case 403 if not text.lower().startswith(ARCHIVED):
            return auth_failed("GitHub", f"HTTP 403; it may not do {deed}")
        case 408 | 425:  # RFC 9110 §15.5.9 and RFC 8470 §5.2: the request was not taken
            return TransientError(f"{deed}: GitHub did not take the request (HTTP {answer.status})", code="UNAVAILABLE")
        case status if status >= 500:  # noqa: PLR2004  # RFC 9110 §15.6: the server's fault
            return broken(deed, status, is_repeatable=is_repeatable)
    code, why = _no(answer.status, text, said)
    variables = {"service_error": f"http_{answer.status}", "service_message": text}
    return BusinessError(code, f"{deed}: {why} (HTTP {answer.status})", variables=variables)


def _no(status: int, text: str, said: dict[str, Any]) -> tuple[str, str]:
    """Return code and reason of a no; GitHub's own text may quote a value, so it is no part of the reason."""
    named = said.get("errors")
    problems = [each for each in named if isinstance(each, dict)] if isinstance(named, list) else []
    texts = [text, *(str(each.get("message")) for each in problems)]
    match status:
        case 404 | 410:
            return NOT_FOUND, "there is no such thing, or the connection may not see it"
        case 422 if any(p.get("code") == "already_exists" for p in problems) or any(
            each.lower().startswith(EXISTS) for each in texts
        ):
            return ALREADY_EXISTS, "it exists already"
        case 400 | 413 | 422:
            return INVALID_INPUT, f"GitHub refuses what it was given{_places(problems)}"
        case 301 | 302 | 303 | 307 | 308:
            return REFUSED, "it is elsewhere; is base_url right?"
    return REFUSED, "GitHub refuses it"


def _places(problems: list[dict[str, Any]]) -> str:
    """Name the fields GitHub complains of, and its word for what is wrong with each."""
    pairs = [(str(each.get("field")), str(each.get("code"))) for each in problems[:MOST_SHOWN]]
    named = [f"{place} is {word}" for place, word in pairs if WORD.fullmatch(place) and WORD.fullmatch(word)]
    return f": {', '.join(named)}" if named else ""


def _is_limit(answer: Answer, text: str) -> bool:
    used_up = answer.headers.get("x-ratelimit-remaining") == "0"
    return used_up or "retry-after" in answer.headers or text.lower().startswith(SAYS_LIMIT)


def _wait(answer: Answer) -> timedelta:
    reset = answer.headers.get("x-ratelimit-reset", "")
    if "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") != "0":
        return retry_after(answer.headers, otherwise=PATIENCE)
    if not re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,6})?", reset):
        return PATIENCE
    return datetime.fromtimestamp(float(reset), tz=UTC) - now_of(answer.headers)


def _said(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
