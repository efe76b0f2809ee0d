"""What GitHub's operations take and give.

A step that follows finds what it needs under the same names: `repository` and `number` of an issue that was created
are what commenting, closing and getting it ask for.
Bounds: GitHub's REST documentation of issues, search, pull requests and workflows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tasks.adapters.fields import BOUNDED, ONE_LINE, PARSED, STORABLE, Name, Parameters, Result

LONGEST_BODY = 65_536
LONGEST_QUERY = 1_000
MOST_LABELS, MOST_ASSIGNEES, MOST_WORKFLOW_INPUTS, MOST_FOUND = 100, 10, 25, 100


def _is_repository(text: str) -> str:
    if text.partition("/")[2] in {".", ".."}:
        raise ValueError("expected owner/name")
    return text


Repository = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}$", max_length=201),
    AfterValidator(_is_repository),
]
Number = Annotated[int, Field(ge=1, le=2**53)]
Title = Name
Body = Annotated[str, Field(max_length=LONGEST_BODY), STORABLE]
GitName = Annotated[str, Field(pattern=r"^[^\s\x00-\x20\x7f~^?*\[\\]{1,255}$", max_length=255)]
"""A branch or tag, also as owner:branch; what git refuses in a name is refused here."""
Workflow = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$", max_length=255)]


class InRepository(Parameters):
    """What is about one repository."""

    repository: Repository | None = None
    """owner/name; empty: the connection's."""


class CreateIssue(InRepository):
    """A new issue."""

    title: Title
    """Its title, in one line."""
    body: Body = ""
    """Its text, in Markdown."""
    labels: Annotated[list[Name], PARSED, Field(max_length=MOST_LABELS)] | None = None
    """Names of labels, as a JSON list."""
    assignees: Annotated[list[Name], PARSED, Field(max_length=MOST_ASSIGNEES)] | None = None
    """Names of users, as a JSON list."""


class CommentIssue(InRepository):
    """A comment on an issue or a pull request."""

    number: Number
    """Number of the issue or pull request."""
    body: Annotated[str, Field(min_length=1, max_length=LONGEST_BODY), STORABLE]
    """Its text, in Markdown."""


class CloseIssue(InRepository):
    """An issue that is done, or will never be."""

    number: Number
    """Number of the issue or pull request."""
    state_reason: Literal["completed", "not_planned"] = "completed"
    """Why it is closed."""


class GetIssue(InRepository):
    """An issue or a pull request to look at."""

    number: Number
    """Number of the issue or pull request."""


class SearchIssues(InRepository):
    """What to look for; without a repository wherever the token may look."""

    query: Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY), STORABLE, ONE_LINE]
    """As in GitHub's search, such as: is:issue is:open label:bug."""
    limit: Annotated[int, Field(ge=1, le=MOST_FOUND)] = 30
    """At most so many are returned, of those that fit best."""


class CreatePullRequest(InRepository):
    """Changes of one branch, to be taken into another."""

    title: Title
    """Its title, in one line."""
    head: GitName
    """Branch with the changes; owner:branch if it is in a fork."""
    base: GitName
    """Branch they are to go into."""
    body: Body = ""
    """Its text, in Markdown."""
    draft: bool = False
    """Whether it is a draft."""


class DispatchWorkflow(InRepository):
    """A workflow of GitHub Actions to start."""

    workflow: Workflow
    """File name of the workflow, such as deploy.yml, or its id."""
    ref: GitName
    """Branch or tag it runs on."""
    workflow_inputs: Annotated[dict[str, Any], PARSED, Field(max_length=MOST_WORKFLOW_INPUTS), BOUNDED] | None = None
    """Its inputs, as a JSON object."""


class Issue(Result):
    """An issue or a pull request, as it is now."""

    repository: str
    """owner/name, as it was named."""
    number: int
    """Its number."""
    url: str
    """Where people see it."""
    state: str
    """open or closed."""
    title: str
    """Its title."""
    labels: list[str]
    """Names of its labels."""
    assignees: list[str]
    """Names of users."""
    author: str | None
    """Name of the user who wrote it."""


class IssueInFull(Issue):
    """An issue or a pull request with its text."""

    body: str
    """Its text, in Markdown."""
    comments: int
    """How many there are."""
    is_pull_request: bool
    """Whether it is one."""
    created_at: str
    """A moment in ISO 8601."""
    closed_at: str | None
    """A moment in ISO 8601."""


class Comment(Result):
    """A comment that is there."""

    repository: str
    """owner/name, as it was named."""
    number: int
    """Number of the issue."""
    comment_id: int
    """Its id."""
    comment_url: str
    """Where people see it."""


class Found(Result):
    """What a search found."""

    total_count: int
    """How many there are, as GitHub counts."""
    incomplete_results: bool
    """Whether GitHub gave up before it had looked everywhere."""
    issues: list[Issue]
    """The first of them, without their texts."""


class PullRequest(Result):
    """A pull request that is there."""

    repository: str
    """owner/name, as it was named."""
    number: int
    """Its number."""
    url: str
    """Where people see it."""
    state: str
    """open or closed."""
    title: str
    """Its title."""
    draft: bool
    """Whether it is a draft."""


class Dispatched(Result):
    """A workflow that was asked to run; GitHub may begin a moment later."""

    repository: str
    """owner/name, as it was named."""
    workflow: str
    """The workflow, as it was named."""
    ref: str
    """Branch or tag it runs on."""
    run_id: int | None
    """Id of the run, where GitHub says so."""
    run_url: str | None
    """Where people see the run, where GitHub says so."""


def issue_of(said: Any, repository: str | None = None) -> dict[str, Any]:
    """Return the fields of an issue, from GitHub's JSON; what is missing there is left to the model to miss."""
    url = said.get("html_url")
    return {
        "repository": repository or "/".join(str(url).split("/")[3:5]),
        "number": said.get("number"),
        "url": url,
        "state": said.get("state"),
        "title": said.get("title"),
        "labels": [each.get("name") if isinstance(each, dict) else each for each in said.get("labels") or ()],
        "assignees": [each.get("login") for each in said.get("assignees") or ()],
        "author": (said.get("user") or {}).get("login"),
    }
