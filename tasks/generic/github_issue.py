"""Topic `github_issue`: creates an issue on GitHub, or does another operation of the adapter `github`.

Getting, searching and closing twice is as good as once. What creates something is not done twice: where an earlier run
may have done it, the step is an incident OUTCOME_UNKNOWN, for a person to look.
"""

from __future__ import annotations

from tasks.adapters.github.adapter import GitHub
from tasks.adapters.topics import done, outcome_of, step_of
from tasks.context import TaskContext  # noqa: TC001  # read when the task is registered
from tasks.task import process_task


class GithubIssueInput(step_of(GitHub, default="create_issue")):  # type: ignore[misc]  # made of the operations
    """Create, comment, close, get or search issues on GitHub, open a pull request, or start a workflow."""


class GithubIssueOutput(outcome_of(GitHub)):  # type: ignore[misc]  # made of the operations
    """What the operation gives, under the names that the next one takes."""


@process_task(topic="github_issue")
def github_issue(step: GithubIssueInput, context: TaskContext) -> GithubIssueOutput:
    """Do one operation of GitHub.

    Raises:
        TaskError: as docs/services/github.md lists them.
    """
    return GithubIssueOutput(**done(GitHub, step, context))
