"""Adapter github against scripted answers: what each of GitHub's answers means, and what is done again after it."""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError
from tasks.adapters.github.adapter import GitHub
from tests.raw_service import raw_service

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

TOKEN = "ghp_test0123456789"
ISSUE = {
    "number": 7, "html_url": "https://github.test/acme/shop/issues/7", "state": "open", "title": "Broken",
    "labels": [{"name": "bug"}, "old"], "assignees": [{"login": "eve"}], "user": {"login": "bob"}, "body": None,
    "comments": 2, "created_at": "2026-11-01T10:00:00Z", "closed_at": None,
}  # fmt: skip
FOUND = {
    "repository": "acme/shop", "number": 7, "url": "https://github.test/acme/shop/issues/7", "state": "open",
    "title": "Broken", "labels": ["bug", "old"], "assignees": ["eve"], "author": "bob",
}  # fmt: skip
CREATE = {"title": "Broken"}
ISSUES = "/api/v3/repos/acme/shop/issues"


def github_at(url: str, **fields: Any) -> GitHub:
    fields.setdefault("token", TOKEN)
    fields.setdefault("repository", "acme/shop")
    return GitHub(GitHub.connection(type="github", base_url=url, **fields))


def call(github: GitHub, operation: str, **parameters: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 4.0
    return dict(github.call_service(operation, parameters, deadline=deadline, idempotency_key="step-1"))


def code_of(github: GitHub, operation: str, **parameters: Any) -> str:
    with pytest.raises(TaskError) as raised:
        call(github, operation, **parameters)
    return str(getattr(raised.value, "code", "RATE_LIMITED"))


@pytest.fixture
def github(httpserver: HTTPServer) -> GitHub:
    return github_at(httpserver.url_for("/api/v3"))


class TestOperations:
    def test_create_an_issue(self, github: GitHub, httpserver: HTTPServer) -> None:
        httpserver.expect_request(ISSUES, method="POST").respond_with_json(ISSUE, status=201)
        assert call(github, "create_issue", **CREATE, body="b", labels='["bug"]') == FOUND
        request, _ = httpserver.log[0]
        assert request.headers["Authorization"] == f"token {TOKEN}"
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert json.loads(request.data) == {"title": "Broken", "body": "b", "labels": ["bug"]}

    def test_are_in_no_log(self, github: GitHub, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        httpserver.expect_request(ISSUES, method="POST").respond_with_json(ISSUE, status=201)
        call(github, "create_issue", title="for your eyes only")
        assert "eyes only" not in caplog.text
        assert TOKEN not in caplog.text

    def test_comment_on_one(self, github: GitHub, httpserver: HTTPServer) -> None:
        said = {"id": 5, "html_url": "https://github.test/5"}
        httpserver.expect_request(f"{ISSUES}/7/comments", method="POST").respond_with_json(said, status=201)
        found = call(github, "comment_issue", number="7", body="seen")
        assert found == {
            "repository": "acme/shop",
            "number": 7,
            "comment_id": 5,
            "comment_url": "https://github.test/5",
        }

    def test_close_one(self, github: GitHub, httpserver: HTTPServer) -> None:
        httpserver.expect_request(f"{ISSUES}/7", method="PATCH").respond_with_json(ISSUE | {"state": "closed"})
        assert call(github, "close_issue", number=7, state_reason="not_planned") == FOUND | {"state": "closed"}
        assert json.loads(httpserver.log[0][0].data) == {"state": "closed", "state_reason": "not_planned"}

    def test_get_one(self, github: GitHub, httpserver: HTTPServer) -> None:
        httpserver.expect_request(f"{ISSUES}/7", method="GET").respond_with_json(ISSUE)
        more = {"body": "", "comments": 2, "is_pull_request": False}
        moments = {"created_at": "2026-11-01T10:00:00Z", "closed_at": None}
        assert call(github, "get_issue", number=7) == {**FOUND, **more, **moments}

    def test_search(self, github: GitHub, httpserver: HTTPServer) -> None:
        query = {"q": "is:issue a&b=c repo:acme/shop", "per_page": "1"}
        said = {"total_count": 2, "incomplete_results": False, "items": [ISSUE, ISSUE]}
        httpserver.expect_request("/api/v3/search/issues", query_string=query).respond_with_json(said)
        found = call(github, "search_issues", query="is:issue a&b=c", limit=1)
        assert found == {"total_count": 2, "incomplete_results": False, "issues": [FOUND]}

    def test_open_a_pull_request(self, github: GitHub, httpserver: HTTPServer) -> None:
        said = ISSUE | {"draft": True}
        httpserver.expect_request("/api/v3/repos/acme/shop/pulls", method="POST").respond_with_json(said, status=201)
        found = call(github, "create_pull_request", title="Broken", head="eve:fix", base="main", draft="true")
        assert found == {name: (FOUND | {"draft": True})[name] for name in found}
        assert json.loads(httpserver.log[0][0].data)["head"] == "eve:fix"

    @pytest.mark.parametrize(
        ("body", "status", "run"),
        [("", 204, None), ('{"workflow_run_id": 9, "html_url": "https://github.test/9"}', 200, 9)],
    )
    def test_start_a_workflow(
        self, github: GitHub, httpserver: HTTPServer, body: str, status: int, run: int | None
    ) -> None:
        path = "/api/v3/repos/acme/shop/actions/workflows/deploy.yml/dispatches"
        httpserver.expect_request(path, method="POST").respond_with_data(body, status=status)
        found = call(github, "dispatch_workflow", workflow="deploy.yml", ref="main", workflow_inputs='{"to": "test"}')
        assert (found["workflow"], found["ref"], found["run_id"]) == ("deploy.yml", "main", run)
        assert json.loads(httpserver.log[0][0].data) == {"ref": "main", "inputs": {"to": "test"}}

    def test_need_a_repository(self) -> None:
        with pytest.raises(BusinessError, match="repository: is missing, and the connection names none"):
            call(github_at("http://127.0.0.1:9", repository=None), "get_issue", number=1)


class TestMoved:
    def test_is_followed_with_the_same_request(self, github: GitHub, httpserver: HTTPServer) -> None:
        moved = {"Location": httpserver.url_for("/api/v3/repositories/1/issues")}
        httpserver.expect_request(ISSUES).respond_with_json({"message": "Moved"}, status=307, headers=moved)
        httpserver.expect_request("/api/v3/repositories/1/issues", method="POST").respond_with_json(ISSUE, status=201)
        assert call(github, "create_issue", **CREATE) == FOUND

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    @pytest.mark.parametrize("place", [None, "http://127.0.0.1:9/x", "//127.0.0.1:9/x", "file:///etc/passwd"])
    def test_elsewhere_is_not(self, github: GitHub, httpserver: HTTPServer, status: int, place: str | None) -> None:
        headers = {"Location": place} if place else {}
        httpserver.expect_request(ISSUES).respond_with_data("{}", status=status, headers=headers)
        with pytest.raises(BusinessError, match=r"it is elsewhere; is base_url right\?") as raised:
            call(github, "create_issue", **CREATE)
        assert raised.value.code == "REFUSED"
        assert len(httpserver.log) == 1

    @pytest.mark.parametrize(
        ("status", "code"), [("201 Created", "OUTCOME_UNKNOWN"), ("307 Temporary Redirect", "REFUSED")]
    )
    def test_to_what_is_no_address_is_not_followed(self, status: str, code: str) -> None:
        with raw_service() as service:
            service.says = f"HTTP/1.1 {status}\r\nLocation: http://[\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            assert code_of(github_at(service.url), "create_issue", **CREATE) == code
            assert len(service.requests) == 1

    def test_in_a_circle_comes_to_an_end(self, github: GitHub, httpserver: HTTPServer) -> None:
        headers = {"Location": httpserver.url_for(f"{ISSUES}/7")}
        httpserver.expect_request(f"{ISSUES}/7").respond_with_data("", status=301, headers=headers)
        assert code_of(github, "get_issue", number=7) == "REFUSED"
        assert len(httpserver.log) == 3


class TestVerdicts:
    @pytest.mark.parametrize(
        ("status", "said", "code"),
        [
            (404, {"message": "Not Found"}, "NOT_FOUND"),
            (410, {"message": "This issue was deleted"}, "NOT_FOUND"),
            (403, {"message": "Repository was archived so is read-only."}, "REFUSED"),
            (409, {"message": "Conflict"}, "REFUSED"),
            (418, {}, "REFUSED"),
            (400, {"message": "Problems parsing JSON"}, "INVALID_INPUT"),
            (422, {"message": "Validation Failed", "errors": "all of it"}, "INVALID_INPUT"),
            (422, {"message": "Validation Failed", "errors": 5}, "INVALID_INPUT"),
            (422, {"message": "Validation Failed", "errors": [{"code": "already_exists"}]}, "ALREADY_EXISTS"),
            (
                422,
                {"errors": [{"code": "custom", "message": "A pull request already exists for x:y."}]},
                "ALREADY_EXISTS",
            ),
            (422, ["no", "object"], "INVALID_INPUT"),
        ],
    )
    def test_of_a_no_are_codes_a_model_may_catch(
        self, github: GitHub, httpserver: HTTPServer, status: int, said: object, code: str
    ) -> None:
        httpserver.expect_request(ISSUES).respond_with_json(said, status=status)
        assert code_of(github, "create_issue", **CREATE) == code

    def test_name_the_fields_and_keep_the_text_apart(self, github: GitHub, httpserver: HTTPServer) -> None:
        errors = [
            {"resource": "Issue", "field": "title", "code": "missing_field"},
            {"resource": "Issue", "field": "<b>", "code": "x y"},
        ]
        said = {"message": "Validation Failed: top secret title" + "x" * 1000, "errors": errors}
        httpserver.expect_request(ISSUES).respond_with_json(said, status=422)
        with pytest.raises(BusinessError) as raised:
            call(github, "create_issue", **CREATE)
        assert raised.value.message == (
            "create_issue: GitHub refuses what it was given: title is missing_field (HTTP 422)"
        )
        assert len(str(raised.value.variables["service_message"])) == 500

    @pytest.mark.parametrize(
        ("status", "text"), [(401, "Bad credentials"), (403, "Resource not accessible by integration"), (403, "")]
    )
    def test_of_credentials_are_the_operators(
        self, github: GitHub, httpserver: HTTPServer, status: int, text: str
    ) -> None:
        httpserver.expect_request(ISSUES).respond_with_json({"message": text}, status=status)
        with pytest.raises(PermanentError, match=f"refuses the connection's credentials: HTTP {status}") as raised:
            call(github, "create_issue", **CREATE)
        assert raised.value.code == "AUTH_FAILED"
        assert TOKEN not in str(raised.value)

    @pytest.mark.parametrize(
        ("status", "headers", "wait"),
        [
            (429, {"Retry-After": "5"}, timedelta(seconds=5)),
            (429, {}, timedelta(minutes=1)),
            (403, {"Retry-After": "90"}, timedelta(seconds=90)),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, timedelta(hours=1)),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, timedelta(seconds=1)),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, timedelta(minutes=1)),
            (403, {"X-RateLimit-Remaining": "0"}, timedelta(minutes=1)),
            (403, {"X-RateLimit-Remaining": "many"}, timedelta(minutes=1)),
        ],
    )
    def test_of_a_limit_are_postponements_within_bounds(
        self, github: GitHub, httpserver: HTTPServer, status: int, headers: dict[str, str], wait: timedelta
    ) -> None:
        said = {"message": "You have exceeded a secondary rate limit. Please wait."}
        httpserver.expect_request(ISSUES).respond_with_json(said, status=status, headers=headers)
        with pytest.raises(RateLimited, match="create_issue: the rate limit is reached") as raised:
            call(github, "create_issue", **CREATE)
        assert raised.value.retry_in == wait
        assert len(httpserver.log) == 1

    @pytest.mark.parametrize(
        ("status", "text", "of_create", "of_get"),
        [
            pytest.param(500, "oops", "OUTCOME_UNKNOWN", "NO_ANSWER", id="500"),
            pytest.param(502, "<html>", "OUTCOME_UNKNOWN", "NO_ANSWER", id="502"),
            pytest.param(503, "", "OUTCOME_UNKNOWN", "UNAVAILABLE", id="503"),
            pytest.param(408, "", "UNAVAILABLE", "UNAVAILABLE", id="408"),
            pytest.param(425, "", "UNAVAILABLE", "UNAVAILABLE", id="425"),
            pytest.param(200, "<html>Log in to our network</html>", "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-page"),
            pytest.param(201, "{", "OUTCOME_UNKNOWN", "NO_ANSWER", id="broken"),
            pytest.param(200, "[]", "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-list"),
            pytest.param(200, "[" * 100_000, "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-deep-list"),
            pytest.param(200, "{}", "OUTCOME_UNKNOWN", "NO_ANSWER", id="no-issue"),
            pytest.param(202, "", "OUTCOME_UNKNOWN", "NO_ANSWER", id="202"),
            pytest.param(
                200, json.dumps(ISSUE | {"labels": "bug", "user": "x"}), "OUTCOME_UNKNOWN", "NO_ANSWER", id="odd-types"
            ),
        ],
    )
    def test_tell_what_may_be_done_again(
        self, github: GitHub, httpserver: HTTPServer, status: int, text: str, of_create: str, of_get: str
    ) -> None:
        httpserver.expect_request(ISSUES).respond_with_data(text, status=status)
        httpserver.expect_request(f"{ISSUES}/7").respond_with_data(text, status=status)
        assert code_of(github, "create_issue", **CREATE) == of_create
        assert code_of(github, "get_issue", number=7) == of_get
        assert len(httpserver.log) == 2

    def test_of_a_lost_answer_tell_the_same(self) -> None:
        with raw_service() as service:
            github = github_at(service.url)
            assert code_of(github, "create_issue", **CREATE) == "OUTCOME_UNKNOWN"
            assert code_of(github, "close_issue", number=7) == "NO_ANSWER"
            assert len(service.requests) == 2

    def test_of_a_service_that_is_not_there_are_another_try(self) -> None:
        assert code_of(github_at("http://127.0.0.1:9"), "create_issue", **CREATE) == "UNREACHABLE"


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


class TestApp:
    TOKENS = "/app/installations/3/access_tokens"

    def app_at(self, server: HTTPServer, private_key: str, app_id: int) -> GitHub:
        fields = {"app_id": app_id, "installation_id": 3, "private_key": private_key}
        return github_at(server.url_for(""), token=None, **fields)

    def test_makes_a_token_and_keeps_it(self, httpserver: HTTPServer, private_key: str) -> None:
        httpserver.expect_request(self.TOKENS, method="POST").respond_with_json({"token": "ghs_first"}, status=201)
        httpserver.expect_request("/repos/acme/shop/issues/7").respond_with_json(ISSUE)
        app = self.app_at(httpserver, private_key, 1)
        call(app, "get_issue", number=7)
        call(app, "get_issue", number=7)
        said = [request.headers["Authorization"].split(".")[0] for request, _ in httpserver.log]
        assert said[0].startswith("Bearer eyJ")
        assert said[1:] == ["token ghs_first", "token ghs_first"]

    def test_makes_another_where_it_was_revoked(self, httpserver: HTTPServer, private_key: str) -> None:
        tokens, issue = self.TOKENS, "/repos/acme/shop/issues/7"
        httpserver.expect_ordered_request(tokens).respond_with_json({"token": "ghs_first"}, status=201)
        httpserver.expect_ordered_request(issue).respond_with_json(ISSUE)
        httpserver.expect_ordered_request(issue).respond_with_json({"message": "Bad credentials"}, status=401)
        httpserver.expect_ordered_request(tokens).respond_with_json({"token": "ghs_second"}, status=201)
        httpserver.expect_ordered_request(issue).respond_with_json(ISSUE)
        app = self.app_at(httpserver, private_key, 2)
        call(app, "get_issue", number=7)
        assert call(app, "get_issue", number=7)["number"] == 7
        assert httpserver.log[-1][0].headers["Authorization"] == "token ghs_second"

    @pytest.mark.parametrize("status", [302, 401, 403, 404, 422])
    def test_that_gets_no_token_is_the_operators(self, httpserver: HTTPServer, private_key: str, status: int) -> None:
        httpserver.expect_request(self.TOKENS).respond_with_json({"message": "Not Found"}, status=status)
        with pytest.raises(PermanentError, match=rf"the app gets no token \(HTTP {status}\)") as raised:
            call(self.app_at(httpserver, private_key, 4), "create_issue", **CREATE)
        assert raised.value.code == "AUTH_FAILED"

    @pytest.mark.parametrize(
        ("status", "said", "code"),
        [
            (201, {}, "NO_ANSWER"),
            (201, {"token": 5}, "NO_ANSWER"),
            (201, {"token": ""}, "NO_ANSWER"),
            (201, [], "NO_ANSWER"),
            (500, {}, "NO_ANSWER"),
            (503, {}, "UNAVAILABLE"),
            (429, {}, "RATE_LIMITED"),
        ],
    )
    def test_that_gets_no_token_now_has_done_nothing(
        self, httpserver: HTTPServer, private_key: str, status: int, said: object, code: str
    ) -> None:
        httpserver.expect_request(self.TOKENS).respond_with_json(said, status=status)
        assert code_of(self.app_at(httpserver, private_key, 5), "create_issue", **CREATE) == code

    def test_with_a_key_that_is_none_is_the_operators(self, httpserver: HTTPServer) -> None:
        with pytest.raises(PermanentError, match="private_key is no PEM key") as raised:
            call(self.app_at(httpserver, "no key at all", 6), "get_issue", number=7)
        assert raised.value.code == "AUTH_FAILED"
        assert httpserver.log == []


class TestHealth:
    def test_costs_nothing_and_says_what_is_left(self, github: GitHub, httpserver: HTTPServer) -> None:
        rate = {"rate": {"limit": 5000, "remaining": 4321}}
        httpserver.expect_request("/api/v3/rate_limit").respond_with_json(rate)
        health = github.health_check()
        assert (health.is_well, health.detail) == (True, "4321 of 5000 requests are left this hour")

    def test_says_why_not(self, github: GitHub, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/v3/rate_limit").respond_with_json({"message": "Bad credentials"}, status=401)
        assert not github.health_check().is_well


class TestConnection:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"token": TOKEN, "app_id": 1, "private_key": "key", "installation_id": 1},
            {"token": TOKEN, "app_id": 1},
            {"app_id": 1, "private_key": "key"},
            {"app_id": 0, "private_key": "key", "installation_id": 1},
            {"token": TOKEN, "repository": "acme"},
            {"token": TOKEN, "repository": "acme/.."},
            {"token": TOKEN, "base_url": "http://ghe.example.org/api/v3"},
        ],
    )
    def test_refuses_what_cannot_be(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            GitHub.connection(type="github", **fields)
