"""What Slack's operations take and give.

A step that follows finds what it needs under the same names: `channel` and `ts` of a message that was sent are what
updating it, answering in its thread (as `thread_ts`) and reacting to it ask for.
Bounds: Slack's documentation of chat.postMessage, chat.update, reactions.add, Block Kit and file uploads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from procos.blobs import BlobReference  # noqa: TC001  # a field's type
from tasks.adapters.fields import BOUNDED, PARSED, STORABLE, Name, Parameters, Result

LONGEST_MESSAGE = 40_000
"""Slack cuts a longer one off, and says so to nobody who reads it."""
MOST_BLOCKS = 50

Channel = Annotated[str, Field(pattern=r"^#?[\w.-]{1,80}$", max_length=81)]
Moment = Annotated[str, Field(pattern=r"^[0-9]{1,20}\.[0-9]{1,10}$", max_length=31)]
Message = Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE), STORABLE]
Blocks = Annotated[list[dict[str, Any]], PARSED, Field(max_length=MOST_BLOCKS), BOUNDED]
Emoji = Annotated[str, Field(pattern=r"^:?[\w+'-]{1,100}(::skin-tone-[2-6])?:?$", max_length=120)]


class SendMessage(Parameters):
    """A message to a channel, or to a thread in it."""

    message: Message
    """Text of the message; with blocks, what notifications and screen readers say."""
    channel: Channel | None = None
    """Id of a channel (C…), or its name; an id outlives a renaming."""
    blocks: Blocks | None = None
    """Block Kit, as a JSON list; shown instead of the text."""
    thread_ts: Moment | None = None
    """The message's ts whose thread it goes to."""
    reply_broadcast: bool = False
    """Whether a message to a thread is shown in the channel too."""
    message_format: Literal["mrkdwn", "plain"] = "mrkdwn"
    """plain shows the text as it is: a user's <!channel> then calls nobody."""


class UpdateMessage(Parameters):
    """A message that is there already, and what it shall say instead."""

    message: Message
    """Text of the message; with blocks, what notifications and screen readers say."""
    ts: Moment
    """The message's ts, as sending it returned it."""
    channel: Channel | None = None
    """Id of its channel, as sending it returned it."""
    blocks: Blocks | None = None
    """Block Kit, as a JSON list; shown instead of the text."""
    message_format: Literal["mrkdwn", "plain"] = "mrkdwn"
    """plain shows the text as it is: a user's <!channel> then calls nobody."""


class AddReaction(Parameters):
    """An emoji for a message."""

    emoji: Emoji
    """Its name, such as white_check_mark."""
    ts: Moment
    """The message's ts, as sending it returned it."""
    channel: Channel | None = None
    """Id of its channel, as sending it returned it."""


class UploadFile(Parameters):
    """A file, and the channel or thread to share it in."""

    file: BlobReference | Annotated[str, Field(min_length=1), STORABLE]
    """What an earlier step returned as a file; or a text, which becomes one."""
    file_name: Name | None = None
    """Its name; empty: the name it has, else file.txt."""
    title: Name | None = None
    """Its title; empty: its name."""
    channel: Channel | None = None
    """Id of a channel (C…); Slack takes no name here."""
    message: Message | None = None
    """What is said with it."""
    thread_ts: Moment | None = None
    """The message's ts whose thread it goes to."""


class Sent(Result):
    """A message that is there."""

    channel: str
    """Id of its channel."""
    ts: str
    """What names it within the channel."""


class Reacted(Result):
    """A reaction that is there."""

    channel: str
    """Id of its channel, or its name, as the step said."""
    ts: str
    """What names the message within the channel."""


class Uploaded(Result):
    """A file that is shared."""

    channel: str
    """Id of its channel."""
    file_id: str
    """What names it in the workspace."""
    file_url: str | None
    """Where members of the workspace see it."""
