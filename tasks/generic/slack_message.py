"""Topic `slack_message`: sends a message to Slack, or does another operation of the adapter `slack`.

Updating a message and adding a reaction twice is as good as once. A message or a file is not sent twice: where an
earlier run may have sent it, the step is an incident OUTCOME_UNKNOWN, for a person to look.
"""

from __future__ import annotations

from tasks.adapters.slack.adapter import Slack
from tasks.adapters.topics import done, outcome_of, step_of
from tasks.context import TaskContext  # noqa: TC001  # read when the task is registered
from tasks.task import process_task


class SlackMessageInput(step_of(Slack, default="send_message")):  # type: ignore[misc]  # made of the operations
    """Send a message to Slack, update it, react to it, or upload a file."""


class SlackMessageOutput(outcome_of(Slack)):  # type: ignore[misc]  # made of the operations
    """What the operation gives, under the names that the next one takes."""


@process_task(topic="slack_message")
def slack_message(step: SlackMessageInput, context: TaskContext) -> SlackMessageOutput:
    """Do one operation of Slack.

    Raises:
        TaskError: as docs/services/slack.md lists them.
    """
    return SlackMessageOutput(**done(Slack, step, context))
