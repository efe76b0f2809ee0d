"""How a notification is told: each target of an audience by its own service, each within its share of the time.

An adapter is told in its own words: mail has a subject, a chat has bold letters, a webhook takes JSON. An adapter of a
user's own takes notifications if it has an operation `notify` with the parameters `title`, `message`, `severity` and
`details`.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from procos.domain.errors import (
    BusinessError,
    PermanentError,
    ProcosError,
    RateLimited,
    StepCancelled,
    TransientError,
    UnreachableError,
)
from procos.logs import get_logger
from tasks.adapters.calling import outcome_unknown, service
from tasks.adapters.known import INVALID
from tasks.deeds import OUTCOME_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procos.setting_sections import Target
    from procos.settings import Settings
    from tasks.adapters.adapter import Adapter
    from tasks.context import TaskContext

LONGEST_REASON = 300
LONGEST_DETAIL = 500
LONGEST_CHAT = 39_000
"""Characters; Slack cuts what is longer than 40,000."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What there is to tell."""

    title: str
    message: str
    severity: str
    details: Mapping[str, Any]

    @property
    def heading(self) -> str:
        """The title on one line."""
        return " ".join(self.title.split())

    @property
    def marked_heading(self) -> str:
        """The same with the severity in front, where it is one to be seen."""
        return self.heading if self.severity == "info" else f"[{self.severity}] {self.heading}"

    @property
    def text(self) -> str:
        """The message, and the details as lines below it."""
        lines = [f"{name}: {_cut(_shown(value), LONGEST_DETAIL)}" for name, value in self.details.items()]
        return "\n".join([self.message, *(["", *lines] if lines else [])]).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of telling one target."""

    connection: str
    error: ProcosError | None = None


def _as_mail(said: Notification) -> Mapping[str, object]:
    return {"subject": said.marked_heading, "text": said.text or said.heading}


def _as_chat(said: Notification) -> Mapping[str, object]:
    """Write it without markup: what a process has to say may hold a user's words, and those call nobody."""
    text = f"{said.marked_heading}\n{said.text}".strip()
    return {"message": _cut(text, LONGEST_CHAT), "message_format": "plain"}


def _as_webhook(said: Notification) -> Mapping[str, object]:
    return {"method": "POST", "body": _plain(said)}


def _plain(said: Notification) -> Mapping[str, object]:
    return {"title": said.heading, "message": said.message, "severity": said.severity, "details": dict(said.details)}


WORDS: Mapping[str, tuple[str, Callable[[Notification], Mapping[str, object]]]] = {
    "email": ("send_email", _as_mail),
    "slack": ("send_message", _as_chat),
    "http": ("request", _as_webhook),
}
"""By the name of an adapter: the operation that tells, and its words."""
NOTIFY = "notify"


def audience_of(name: str, settings: Settings) -> Sequence[Target]:
    """Return where the notifications of an audience go.

    Raises:
        PermanentError: AUDIENCE_UNKNOWN, with those there are.
    """
    known = settings.notification.audiences
    if known.get(name):
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    shown = ", ".join(sorted(known)) or "none; PROCOS_NOTIFICATION_AUDIENCES says who there is"
    raise PermanentError(f"there is no such audience; known: {shown}{hint}", code="AUDIENCE_UNKNOWN")


def told(targets: Sequence[Target], said: Notification, context: TaskContext) -> list[Attempt]:
    """Tell each target, one that fails without harm to the others."""
    attempts = []
    for number, target in enumerate(targets):
        context.raise_if_cancelled()
        left = context.remaining().total_seconds()
        deadline = context.clock() + left / (len(targets) - number)
        attempts.append(
            _attempt(target, said, context, number=number, deadline=deadline) if left else _without_time(target)
        )
    return attempts


def raise_for_nobody(attempts: Sequence[Attempt]) -> NoReturn:
    """Say that nobody was told, in the way that does least harm.

    Raises:
        PermanentError: OUTCOME_UNKNOWN, where one of them may have been told after all.
        TransientError: another try may reach one.
        RateLimited: the same, and a service asks for patience.
        BusinessError: NOT_NOTIFIED, with each one's reason.
    """
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    for error in errors:
        if isinstance(error, PermanentError) and error.code == OUTCOME_UNKNOWN:
            raise error
    for kind in (TransientError, UnreachableError, RateLimited):
        for error in errors:
            if isinstance(error, kind):
                raise error
    reasons = "; ".join(f"{attempt.connection}: {attempt.error}"[:LONGEST_REASON] for attempt in attempts)
    raise BusinessError("NOT_NOTIFIED", reasons)


def _attempt(target: Target, said: Notification, context: TaskContext, *, number: int, deadline: float) -> Attempt:
    try:
        found = service(target.connection, context)
        operation, words = _words_for(target.connection, found, said)
        with context.deeds.doing(f"notification by {target.connection}"):
            found.call_service(
                operation,
                {**words, **(target.model_extra or {})},
                deadline=deadline,
                idempotency_key=f"{context.idempotency_key}-{number}",
            )
    except StepCancelled:
        raise
    except ProcosError as error:
        log.warning("notification.not_told", connection=target.connection, reason=type(error).__name__)
        return Attempt(connection=target.connection, error=error)
    except Exception as error:  # noqa: BLE001  # a defect of one adapter must not have the others told again
        log.warning("notification.unknown", connection=target.connection, reason=type(error).__name__)
        unknown = outcome_unknown(f"{target.connection}: {type(error).__name__}; it may have been told")
        return Attempt(connection=target.connection, error=unknown)
    return Attempt(connection=target.connection)


def _without_time(target: Target) -> Attempt:
    return Attempt(connection=target.connection, error=TransientError("no time was left for it"))


def _words_for(connection: str, found: Adapter, said: Notification) -> tuple[str, Mapping[str, object]]:
    if found.name in WORDS:
        operation, write = WORDS[found.name]
        return operation, write(said)
    if NOTIFY in found.operations():
        return NOTIFY, _plain(said)
    text = f"connection {connection!r} is of type {found.name!r}, which takes no notifications"
    raise PermanentError(f"{text}; expected one of {', '.join(WORDS)}, or an operation {NOTIFY!r}", code=INVALID)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
