"""The adapter `github`: issues, comments, pull requests, workflows.

GitHub knows no idempotency keys, so what creates something is never done a second time when it may have been done.
Looking, searching and closing may be done twice: an issue that is closed stays closed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from procos.domain.errors import BusinessError, TaskError
from tasks.adapters.adapter import INVALID_INPUT, Adapter, Call, Health, operation
from tasks.adapters.exchange import AnswerLostError, NothingSentError
from tasks.adapters.github.connection import GitHubConnection
from tasks.adapters.github.parameters import (
    CloseIssue,
    Comment,
    CommentIssue,
    CreateIssue,
    CreatePullRequest,
    Dispatched,
    DispatchWorkflow,
    Found,
    GetIssue,
    Issue,
    IssueInFull,
    PullRequest,
    SearchIssues,
    issue_of,
)
from tasks.adapters.github.verdicts import verdict
from tasks.adapters.web import answer_lost, not_reached

if TYPE_CHECKING:
    from collections.abc import Callable

HEALTH_SECONDS = 4.0
"""Whoever asks for the health of all services gives each five."""
Outcome = TypeVar("Outcome", bound=BaseModel)


class GitHub(Adapter):
    """An account or app on GitHub, or on an Enterprise Server."""

    name: ClassVar[str] = "github"
    connection = GitHubConnection
    _connection: GitHubConnection

    @operation()
    def create_issue(self, wanted: CreateIssue, call: Call) -> Issue:
        """Create an issue."""
        repository = self._repository(wanted.repository)
        body = wanted.model_dump(include={"title", "body", "labels", "assignees"}, exclude_none=True)
        ask = _Ask(deed="create_issue", verb="POST", path=f"/repos/{repository}/issues", body=body)
        return self._done(ask, call, lambda said: Issue.model_validate(issue_of(said, repository)))

    @operation()
    def comment_issue(self, wanted: CommentIssue, call: Call) -> Comment:
        """Comment on an issue or a pull request."""
        repository = self._repository(wanted.repository)
        path = f"/repos/{repository}/issues/{wanted.number}/comments"
        ask = _Ask(deed="comment_issue", verb="POST", path=path, body={"body": wanted.body})
        return self._done(
            ask,
            call,
            lambda said: Comment(
                repository=repository, number=wanted.number, comment_id=said["id"], comment_url=said["html_url"]
            ),
        )

    @operation(repeatable=True)
    def close_issue(self, wanted: CloseIssue, call: Call) -> Issue:
        """Close an issue or a pull request; one that is closed stays so."""
        repository = self._repository(wanted.repository)
        body = {"state": "closed", "state_reason": wanted.state_reason}
        path = f"/repos/{repository}/issues/{wanted.number}"
        ask = _Ask(deed="close_issue", verb="PATCH", path=path, body=body, is_repeatable=True)
        return self._done(ask, call, lambda said: Issue.model_validate(issue_of(said, repository)))

    @operation(repeatable=True)
    def get_issue(self, wanted: GetIssue, call: Call) -> IssueInFull:
        """Get an issue or a pull request with its text."""
        repository = self._repository(wanted.repository)
        path = f"/repos/{repository}/issues/{wanted.number}"
        ask = _Ask(deed="get_issue", verb="GET", path=path, is_repeatable=True)
        return self._done(ask, call, lambda said: _in_full(said, repository))

    @operation(repeatable=True)
    def search_issues(self, wanted: SearchIssues, call: Call) -> Found:
        """Search issues and pull requests."""
        repository = wanted.repository or self._connection.repository
        query = f"{wanted.query} repo:{repository}" if repository else wanted.query
        parameters = {"q": query, "per_page": wanted.limit}
        ask = _Ask(deed="search_issues", verb="GET", path="/search/issues", parameters=parameters, is_repeatable=True)
        return self._done(ask, call, lambda said: _found(said, wanted.limit))

    @operation()
    def create_pull_request(self, wanted: CreatePullRequest, call: Call) -> PullRequest:
        """Open a pull request."""
        repository = self._repository(wanted.repository)
        body = wanted.model_dump(include={"title", "head", "base", "body", "draft"})
        ask = _Ask(deed="create_pull_request", verb="POST", path=f"/repos/{repository}/pulls", body=body)
        return self._done(
            ask,
            call,
            lambda said: PullRequest(
                **{name: said[name] for name in ("number", "state", "title")},
                draft=bool(said.get("draft")),
                url=said["html_url"],
                repository=repository,
            ),
        )

    @operation()
    def dispatch_workflow(self, wanted: DispatchWorkflow, call: Call) -> Dispatched:
        """Start a workflow of GitHub Actions that has a workflow_dispatch trigger."""
        repository = self._repository(wanted.repository)
        path = f"/repos/{repository}/actions/workflows/{quote(wanted.workflow, safe='')}/dispatches"
        body = {"ref": wanted.ref, "inputs": wanted.workflow_inputs or {}}
        ask = _Ask(deed="dispatch_workflow", verb="POST", path=path, body=body)
        return self._done(
            ask,
            call,
            lambda said: Dispatched(
                repository=repository,
                workflow=wanted.workflow,
                ref=wanted.ref,
                run_id=said.get("workflow_run_id"),
                run_url=said.get("html_url"),
            ),
        )

    def health_check(self) -> Health:
        """Ask how much of the rate limit is left, which costs none of it."""
        started = time.monotonic()
        call = Call(deadline=started + HEALTH_SECONDS, idempotency_key="")
        ask = _Ask(deed="rate_limit", verb="GET", path="/rate_limit", is_repeatable=True)
        try:
            left = self._done(ask, call, lambda said: _RateLimit.model_validate(said["rate"]))
        except TaskError as error:
            return Health(is_well=False, detail=str(error), seconds=time.monotonic() - started)
        detail = f"{left.remaining} of {left.limit} requests are left this hour"
        return Health(is_well=True, detail=detail, seconds=time.monotonic() - started)

    def _done(self, ask: _Ask, call: Call, result: Callable[[dict[str, Any]], Outcome]) -> Outcome:
        """Make a request, and return what came of it.

        Raises:
            TaskError: as the table of verdicts says.
        """
        from tasks.adapters.github.client import GitHubClient, NoError

        client = GitHubClient(self._connection, self._connection.way(call.deadline))
        try:
            said = client.ask(ask.verb, ask.path, parameters=ask.parameters, body=ask.body)
        except NoError as no:
            raise verdict(ask.deed, no.answer, is_repeatable=ask.is_repeatable) from None
        except NothingSentError as error:
            raise not_reached("GitHub", error) from None
        except AnswerLostError as error:
            raise answer_lost(ask.deed, error, is_repeatable=ask.is_repeatable) from None
        try:
            return result(said)
        except (ValidationError, KeyError, TypeError, AttributeError):
            why = "the answer does not say what was done"
            raise answer_lost(ask.deed, why, is_repeatable=ask.is_repeatable) from None

    def _repository(self, named: str | None) -> str:
        repository = named or self._connection.repository
        if repository is None:
            raise BusinessError(INVALID_INPUT, "repository: is missing, and the connection names none")
        return repository


class _Ask(BaseModel):
    """One request of the REST API, and whether making it twice is as good as once."""

    deed: str
    verb: str
    path: str
    parameters: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    is_repeatable: bool = False


class _RateLimit(BaseModel):
    limit: int
    remaining: int


def _in_full(said: dict[str, Any], repository: str) -> IssueInFull:
    return IssueInFull(
        **issue_of(said, repository),
        body=said["body"] or "",
        comments=said["comments"],
        is_pull_request="pull_request" in said,
        created_at=said["created_at"],
        closed_at=said["closed_at"],
    )


def _found(said: dict[str, Any], limit: int) -> Found:
    return Found(
        total_count=said["total_count"],
        incomplete_results=said["incomplete_results"],
        issues=[Issue.model_validate(issue_of(each)) for each in said["items"][:limit]],
    )
