"""What a hostile variable cannot make topic github_issue do: nothing is sent, or it is sent as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procos.settings import load_settings
from tasks.generic.github_issue import GithubIssueInput, github_issue
from tests.tasks.hostile.endings import ANYTHING, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

    from tasks.context import TaskContext

TOKEN = "ghp_test0123456789"
GET: dict[str, Any] = {"operation": "get_issue", "number": 1}
DISPATCH: dict[str, Any] = {"operation": "dispatch_workflow", "workflow": "ci.yml", "ref": "main"}
PULL: dict[str, Any] = {"operation": "create_pull_request", "head": "fix", "base": "main"}
SEARCH: dict[str, Any] = {"operation": "search_issues", "query": "is:issue"}

REFUSED = [
    pytest.param({"repository": "../../user"}, id="repository-up-the-path"),
    pytest.param({"repository": "acme/shop/../../../user"}, id="path-behind-the-repository"),
    pytest.param({"repository": "acme/.."}, id="repository-called-dot-dot"),
    pytest.param({"repository": "acme/."}, id="repository-called-dot"),
    pytest.param({"repository": "acme%2Fshop"}, id="repository-encoded"),
    pytest.param({"repository": "acme/shop?admin=1"}, id="repository-with-a-query"),
    pytest.param({"repository": "acme/shop#x"}, id="repository-with-a-fragment"),
    pytest.param({"repository": "acme/shop\r\nHost: evil.test"}, id="repository-with-a-header"),
    pytest.param({"repository": "https://evil.test/acme/shop"}, id="repository-elsewhere"),
    pytest.param({"repository": "@evil.test/shop"}, id="repository-that-is-a-host"),
    pytest.param({"repository": "acme\\shop"}, id="repository-with-a-backslash"),
    pytest.param({"repository": "\u0430cme/shop"}, id="repository-in-other-letters"),
    pytest.param({"repository": "a/" + "b" * 500}, id="endless-repository"),
    pytest.param({"title": ""}, id="empty-title"),
    pytest.param({"title": "x" * 257}, id="endless-title"),
    pytest.param({"title": "a\nb"}, id="title-of-two-lines"),
    pytest.param({"title": "a\0b"}, id="title-with-nul"),
    pytest.param({"body": "x" * 65_537}, id="huge-body"),
    pytest.param({"body": "\x1b[2J"}, id="body-with-terminal-codes"),
    pytest.param({"body": "\udfff"}, id="half-a-surrogate-pair"),
    pytest.param({"labels": ["x"] * 101}, id="too-many-labels"),
    pytest.param({"labels": "bug,urgent"}, id="labels-that-are-no-json"),
    pytest.param({"labels": ["a\r\nb"]}, id="label-of-two-lines"),
    pytest.param({"labels": [["bug"]]}, id="label-in-a-list"),
    pytest.param({"labels": "[" * 100_000}, id="deep-labels"),
    pytest.param({"assignees": [""]}, id="nobody-assigned"),
    pytest.param({**GET, "number": "1/../../../user"}, id="number-with-a-path"),
    pytest.param({**GET, "number": 0}, id="number-nought"),
    pytest.param({**GET, "number": -1}, id="number-below-nought"),
    pytest.param({**GET, "number": 10**400}, id="endless-number"),
    pytest.param({**GET, "number": 1.5}, id="number-and-a-half"),
    pytest.param({**DISPATCH, "workflow": "../../../issues"}, id="workflow-up-the-path"),
    pytest.param({**DISPATCH, "workflow": "a/b.yml"}, id="workflow-in-a-folder"),
    pytest.param({**DISPATCH, "workflow": ".."}, id="workflow-called-dot-dot"),
    pytest.param({**DISPATCH, "ref": "main\nx"}, id="ref-of-two-lines"),
    pytest.param({**DISPATCH, "ref": "a^{commit}"}, id="ref-git-refuses"),
    pytest.param({**DISPATCH, "workflow_inputs": {str(n): "x" for n in range(26)}}, id="too-many-workflow-inputs"),
    pytest.param({**DISPATCH, "workflow_inputs": "[1]"}, id="workflow-inputs-that-are-a-list"),
    pytest.param({**PULL, "head": "a b"}, id="branch-with-a-blank"),
    pytest.param({**PULL, "base": ""}, id="no-branch"),
    pytest.param({**SEARCH, "query": "x" * 1001}, id="endless-query"),
    pytest.param({**SEARCH, "query": "a\r\nb"}, id="query-of-two-lines"),
    pytest.param({**SEARCH, "limit": 10_000}, id="greedy-search"),
    pytest.param({**SEARCH, "limit": 0}, id="search-for-nothing"),
    pytest.param({"operation": "delete_repository"}, id="operation-there-is-none-of"),
    pytest.param({"connection": "github/../x"}, id="connection-with-a-path"),
]  # fmt: skip


@pytest.fixture
def step(context_with: Callable[..., TaskContext], httpserver: HTTPServer) -> TaskContext:
    return context_with(load_settings(names_for(httpserver.url_for("/")), dotenv=None))


def names_for(url: str) -> dict[str, str]:
    return {
        "PROCOS_CONNECTIONS__GITHUB__TYPE": "github",
        "PROCOS_CONNECTIONS__GITHUB__TOKEN": TOKEN,
        "PROCOS_CONNECTIONS__GITHUB__BASE_URL": url,
    }


def code_of(variables: dict[str, Any], step: TaskContext) -> str:
    return ending_of(lambda: github_issue(GithubIssueInput.model_validate(variables), step), secret=TOKEN)


class TestHostileVariables:
    @pytest.mark.parametrize("variables", REFUSED)
    def test_are_refused_and_nothing_is_sent(
        self, variables: dict[str, Any], step: TaskContext, httpserver: HTTPServer
    ) -> None:
        code = code_of({"repository": "acme/shop", "title": "Broken", **variables}, step)
        assert code in {"INVALID_INPUT", "CONNECTION_UNKNOWN"}
        assert httpserver.log == []

    @pytest.mark.parametrize(
        "query",
        [
            pytest.param("x&per_page=100&q=y", id="another-parameter"),
            pytest.param("x#y %2e%2e/ +", id="encoded"),
            pytest.param("\"'`;--", id="quotes"),
        ],
    )
    def test_stay_one_parameter_of_a_search(self, query: str, step: TaskContext, httpserver: HTTPServer) -> None:
        said = {"total_count": 0, "incomplete_results": False, "items": []}
        httpserver.expect_request("/search/issues").respond_with_json(said)
        assert code_of({**SEARCH, "query": query, "repository": "acme/shop"}, step) == ""
        assert httpserver.log[0][0].args.to_dict(flat=False) == {"q": [f"{query} repo:acme/shop"], "per_page": ["30"]}

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param('","state":"closed', id="json-in-a-text"),
            pytest.param("{{secrets.GITHUB_TOKEN}}", id="name-of-a-secret"),
            pytest.param("<script>alert(1)</script>", id="script"),
        ],
    )
    def test_stay_text(self, text: str, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/repos/acme/shop/issues").respond_with_json({}, status=404)
        code_of({"repository": "acme/shop", "title": text}, step)
        assert json.loads(httpserver.log[0][0].data)["title"] == text


OPERATIONS = (
    "create_issue", "comment_issue", "close_issue", "get_issue", "search_issues", "create_pull_request",
    "dispatch_workflow",
)  # fmt: skip


class TestAnyVariables:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        variables=st.dictionaries(st.sampled_from(sorted(GithubIssueInput.model_fields)), ANYTHING, max_size=6),
        operation=st.sampled_from(OPERATIONS),
    )
    def test_end_as_a_value_or_an_error_of_ours(
        self, variables: dict[str, Any], operation: str, context_with: Callable[..., TaskContext]
    ) -> None:
        context = context_with(load_settings(names_for("http://127.0.0.1:9"), dotenv=None), seconds=2.0)
        known = {"INVALID_INPUT", "CONNECTION_UNKNOWN", "UNREACHABLE"}
        assert code_of({**variables, "operation": operation}, context) in known
