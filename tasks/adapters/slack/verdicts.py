"""What Slack's errors mean to a step: one closed table of its words.

Source: the lists of errors in Slack's documentation of chat.postMessage, chat.update, reactions.add,
files.getUploadURLExternal and files.completeUploadExternal. Of internal_error and fatal_error it says that part of the
operation may have been done.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from procos.domain.errors import BusinessError, TaskError, TransientError
from tasks.adapters.web import answer_lost, asks_for_patience, auth_failed, broken, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.adapters.exchange import Answer

CHANNEL_NOT_FOUND, NOT_IN_CHANNEL, CHANNEL_ARCHIVED = "CHANNEL_NOT_FOUND", "NOT_IN_CHANNEL", "CHANNEL_ARCHIVED"
NOT_FOUND, INVALID_INPUT, REFUSED = "NOT_FOUND", "INVALID_INPUT", "REFUSED"
PATIENCE = timedelta(seconds=30)
"""Where Slack names no delay; its limits are per minute."""
CREDENTIALS = frozenset({
    "access_denied", "account_inactive", "ekm_access_denied", "enterprise_is_restricted", "invalid_auth",
    "missing_scope", "no_permission", "not_allowed_token_type", "not_authed", "org_login_required",
    "team_access_not_granted", "token_expired", "token_revoked", "two_factor_setup_required",
})  # fmt: skip
LATER = frozenset({"request_timeout", "service_unavailable", "team_added_to_org"})
"""Nothing was done."""
HALF_DONE = frozenset({"fatal_error", "internal_error"})
LIMITS = frozenset({"message_limit_exceeded", "rate_limited", "ratelimited"})
CODES: Mapping[str, tuple[str, str]] = {
    "channel_not_found": (CHANNEL_NOT_FOUND, "there is no such channel, or the app may not see it"),
    "not_in_channel": (NOT_IN_CHANNEL, "the app is no member of the channel; invite it there"),
    "is_archived": (CHANNEL_ARCHIVED, "the channel is archived"),
    "file_not_found": (NOT_FOUND, "there is no such file"),
    "message_not_found": (NOT_FOUND, "there is no such message in the channel"),
    "thread_not_found": (NOT_FOUND, "there is no such thread in the channel"),
    "user_not_found": (NOT_FOUND, "there is no such user"),
    "bad_timestamp": (INVALID_INPUT, "ts is none of a message"),
    "file_too_large": (INVALID_INPUT, "the file is too large"),
    "invalid_arguments": (INVALID_INPUT, "an argument is wrong"),
    "invalid_blocks": (INVALID_INPUT, "blocks are not as Block Kit wants them"),
    "invalid_blocks_format": (INVALID_INPUT, "blocks are no list of Block Kit objects"),
    "invalid_channel": (INVALID_INPUT, "channel is no id of a channel"),
    "invalid_name": (INVALID_INPUT, "there is no emoji of that name"),
    "invalid_thread_ts": (INVALID_INPUT, "thread_ts is none of a message"),
    "msg_blocks_too_long": (INVALID_INPUT, "blocks are too long"),
    "msg_too_long": (INVALID_INPUT, "message is too long"),
    "no_text": (INVALID_INPUT, "message is empty"),
}
WORD = re.compile(r"[a-z0-9_]{1,60}")


def verdict(deed: str, error: str, answer: Answer, *, is_repeatable: bool, needed: str = "") -> TaskError:
    """Return what an error that Slack names means."""
    word = error if WORD.fullmatch(error) else "an error without a name"
    if word in CREDENTIALS:
        scope = f" (it needs the scope {needed})" if re.fullmatch(r"[a-z:._,]{1,100}", needed) else ""
        return auth_failed("Slack", word + scope)
    if word in LIMITS:
        return asks_for_patience(deed, retry_after(answer.headers, otherwise=PATIENCE))
    if word in HALF_DONE:
        return answer_lost(deed, f"Slack failed ({word})", is_repeatable=is_repeatable)
    if word in LATER:
        return TransientError(f"{deed}: Slack is not ready ({word})", code="UNAVAILABLE")
    code, why = CODES.get(word, (REFUSED, "Slack refuses it"))
    return BusinessError(code, f"{deed}: {why} ({word})", variables={"service_error": word})


def verdict_of_status(deed: str, answer: Answer, *, is_repeatable: bool) -> TaskError:
    """Return what an answer means that is not 200; Slack says its own errors under 200."""
    match answer.status:
        case 429:
            return asks_for_patience(deed, retry_after(answer.headers, otherwise=PATIENCE))
        case 401 | 403:
            return auth_failed("Slack", f"HTTP {answer.status}")
        case 408 | 425:  # RFC 9110 §15.5.9 and RFC 8470 §5.2: the request was not taken
            return TransientError(f"{deed}: Slack did not take the request (HTTP {answer.status})", code="UNAVAILABLE")
        case status if status >= 500:  # noqa: PLR2004  # RFC 9110 §15.6: the server's fault
            return broken(deed, status, is_repeatable=is_repeatable)
    why = f"expected an answer of Slack's Web API, got HTTP {answer.status}; is base_url right?"
    return BusinessError(REFUSED, f"{deed}: {why}", variables={"service_error": f"http_{answer.status}"})
