"""What an operator says of a Slack workspace."""

from __future__ import annotations

from pydantic import Field, SecretStr

from tasks.adapters.slack.parameters import Channel  # noqa: TC001  # a field's type
from tasks.adapters.web import Address, WebConnection


class SlackConnection(WebConnection):
    """A workspace, and the token of an app that is installed there."""

    token: SecretStr
    """The app's token, xoxb-…; xoxp-… acts as a user."""
    channel: Channel | None = None
    """Where messages and files go that name no channel."""
    base_url: Address = "https://slack.com/api"
    largest_file: int = Field(32 * 1024 * 1024, ge=1, le=1024**3)
    """Bytes of an upload, which is held in memory; Slack itself takes a GiB."""
