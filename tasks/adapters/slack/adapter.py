"""The adapter `slack`: sends and updates messages, adds reactions, uploads files.

Slack knows no idempotency keys that it documents (chat.postMessage mentions a client_msg_id in its errors alone), so a
message or a file is never sent a second time when it may have arrived. Updating a message and adding a reaction may be
done twice: a reaction that is there already is what was wanted.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from tasks.adapters.adapter import INVALID_INPUT, Adapter, Call, Health, operation
from tasks.adapters.exchange import AnswerLostError, NothingSentError
from tasks.adapters.slack import verdicts
from tasks.adapters.slack.connection import SlackConnection
from tasks.adapters.slack.parameters import (
    AddReaction,
    Reacted,
    SendMessage,
    Sent,
    UpdateMessage,
    Uploaded,
    UploadFile,
)
from tasks.adapters.web import answer_lost, not_reached

if TYPE_CHECKING:
    from tasks.adapters.slack.client import SlackClient

HEALTH_SECONDS = 4.0
"""Whoever asks for the health of all services gives each five."""
Outcome = TypeVar("Outcome", bound=BaseModel)
SHOWN = re.compile(r"[^\w .@-]")
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""The three characters Slack gives a meaning to; source: its documentation of formatting text."""


class Slack(Adapter):
    """A workspace of Slack."""

    name: ClassVar[str] = "slack"
    connection = SlackConnection
    _connection: SlackConnection

    @operation()
    def send_message(self, wanted: SendMessage, call: Call) -> Sent:
        """Send a message to a channel or thread."""
        arguments = {
            "channel": self._channel(wanted.channel),
            **_content(wanted),
            "mrkdwn": False if wanted.message_format == "plain" else None,
            "thread_ts": wanted.thread_ts,
            "reply_broadcast": wanted.reply_broadcast or None,
        }
        said = self._said("chat.postMessage", arguments, call, is_repeatable=False)
        return _result(Sent, said, "chat.postMessage", is_repeatable=False)

    @operation(repeatable=True)
    def update_message(self, wanted: UpdateMessage, call: Call) -> Sent:
        """Put something else in the place of a message."""
        arguments = {"channel": self._channel(wanted.channel), "ts": wanted.ts, **_content(wanted)}
        said = self._said("chat.update", arguments, call, is_repeatable=True)
        return _result(Sent, said, "chat.update", is_repeatable=True)

    @operation(repeatable=True)
    def add_reaction(self, wanted: AddReaction, call: Call) -> Reacted:
        """Add an emoji to a message; one that is there already is as good."""
        channel = self._channel(wanted.channel)
        arguments = {"channel": channel, "timestamp": wanted.ts, "name": wanted.emoji.strip(":")}
        try:
            self._said("reactions.add", arguments, call, is_repeatable=True)
        except BusinessError as error:
            if error.variables.get("service_error") != "already_reacted":
                raise
        return Reacted(channel=channel, ts=wanted.ts)

    @operation()
    def upload_file(self, wanted: UploadFile, call: Call) -> Uploaded:
        """Share a file in a channel or thread.

        Until the last of its three calls nobody sees anything, so these may be done again.
        """
        channel, content, name = self._channel(wanted.channel), self._content(wanted), _file_name(wanted)
        client, deed = self._client(call), "files.getUploadURLExternal"
        arguments = {"filename": name, "length": len(content)}
        place = self._said(deed, arguments, call, is_repeatable=True, client=client, as_form=True)
        file_id = self._put(client, place, content)
        deed = "files.completeUploadExternal"
        arguments = {
            "files": [{"id": file_id, "title": wanted.title or name}],
            "channel_id": channel,
            "initial_comment": wanted.message,
            "thread_ts": wanted.thread_ts,
        }
        said = self._said(deed, arguments, call, is_repeatable=False, client=client)
        first = next((each for each in _list(said.get("files")) if isinstance(each, dict)), {})
        found = {"channel": channel, "file_id": file_id, "file_url": first.get("permalink")}
        return _result(Uploaded, found, deed, is_repeatable=False)

    def health_check(self) -> Health:
        """Ask Slack whose token it is (auth.test)."""
        started = time.monotonic()
        call = Call(deadline=started + HEALTH_SECONDS, idempotency_key="")
        try:
            said = self._said("auth.test", {}, call, is_repeatable=True, as_form=True)
        except TaskError as error:
            return Health(is_well=False, detail=str(error), seconds=time.monotonic() - started)
        team, user = (SHOWN.sub("", str(said.get(key)))[:80] for key in ("team", "user"))
        return Health(is_well=True, detail=f"{user} in {team}", seconds=time.monotonic() - started)

    def _said(
        self,
        method: str,
        arguments: dict[str, Any],
        call: Call,
        *,
        is_repeatable: bool,
        client: SlackClient | None = None,
        as_form: bool = False,
    ) -> dict[str, Any]:
        """Call a method of the Web API, and return what it says.

        Raises:
            TaskError: as the table of verdicts says.
        """
        from tasks.adapters.slack.client import NoError, StatusError

        try:
            return (client or self._client(call)).say(method, arguments, as_form=as_form)
        except NoError as no:
            raise verdicts.verdict(
                method, no.word, no.answer, is_repeatable=is_repeatable, needed=no.needed
            ) from None  # fmt: skip
        except StatusError as error:
            raise verdicts.verdict_of_status(method, error.answer, is_repeatable=is_repeatable) from None
        except NothingSentError as error:
            raise not_reached("Slack", error) from None
        except AnswerLostError as error:
            raise answer_lost(method, error, is_repeatable=is_repeatable) from None

    def _put(self, client: SlackClient, place: dict[str, Any], content: bytes) -> str:
        """Send a file to the place that Slack has for it, and return its id.

        Raises:
            TransientError: it did not arrive; nobody has seen anything.
        """
        from tasks.adapters.slack.client import StatusError

        url, file_id = str(place.get("upload_url")), str(place.get("file_id"))
        if not is_place_of(self._connection.base_url, url):
            raise TransientError("files.getUploadURLExternal: Slack names no place for the file", code="NO_ANSWER")
        try:
            client.put(url, content)
        except (StatusError, NothingSentError, AnswerLostError) as error:
            raise TransientError(f"the file did not reach Slack: {error}", code="NO_ANSWER") from None
        return file_id

    def _client(self, call: Call) -> SlackClient:
        from tasks.adapters.slack.client import SlackClient

        return SlackClient(self._connection, self._connection.way(call.deadline))

    def _channel(self, named: str | None) -> str:
        channel = named or self._connection.channel
        if channel is None:
            raise BusinessError(INVALID_INPUT, "channel: is missing, and the connection names none")
        return channel

    def _content(self, wanted: UploadFile) -> bytes:
        if isinstance(wanted.file, str):
            return wanted.file.encode()
        if self._blobs is None:
            raise PermanentError("upload_file: a file needs the blob store of a step", code="BLOBS_UNSET")
        return self._blobs.read(wanted.file, largest=self._connection.largest_file)


def _content(wanted: SendMessage | UpdateMessage) -> dict[str, Any]:
    is_plain = wanted.message_format == "plain"
    text = "".join(ESCAPES.get(each, each) for each in wanted.message) if is_plain else wanted.message
    return {"text": text, "blocks": wanted.blocks}


def _file_name(wanted: UploadFile) -> str:
    of_blob = None if isinstance(wanted.file, str) else wanted.file.name
    return wanted.file_name or of_blob or "file.txt"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _result(model: type[Outcome], said: dict[str, Any], deed: str, *, is_repeatable: bool) -> Outcome:
    """Return a result, from what Slack said it did.

    Raises:
        TaskError: it said it did it, but not what.
    """
    try:
        return model.model_validate({name: said.get(name) for name in model.model_fields})
    except ValidationError:
        raise answer_lost(deed, "the answer does not say what was done", is_repeatable=is_repeatable) from None


def is_place_of(base_url: str, url: str) -> bool:
    """Whether a file may be put there: at Slack, or on the very host that stands in for it."""
    own, place = urlsplit(base_url), urlsplit(url)
    host = place.hostname or ""
    return (place.scheme, host) == (own.scheme, own.hostname) or (
        place.scheme == "https" and host.endswith(".slack.com")
    )
