"""Topics slack_message, github_issue and service_call: what a step may say, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError

from procos.cli.element_templates import template
from procos.domain.errors import BusinessError, PermanentError, StepCancelled
from procos.domain.external_task import Topic
from procos.routes import ROUTES
from procos.settings import load_settings
from tasks.adapters.adapter import Adapter, Call, Connection, Health, operation
from tasks.adapters.github.adapter import GitHub
from tasks.adapters.slack.adapter import Slack
from tasks.adapters.topics import outcome_of, step_of
from tasks.generic.github_issue import GithubIssueInput, github_issue
from tasks.generic.service_call import ServiceCallInput, service_call
from tasks.generic.slack_message import SlackMessageInput, slack_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

    from tasks.context import TaskContext

SENT = {"ok": True, "channel": "C1", "ts": "1.1"}
TOKEN = "xoxb-test-0123456789"


@pytest.fixture
def step(context_with: Callable[..., TaskContext], httpserver: HTTPServer) -> TaskContext:
    names = {
        "PROCOS_CONNECTIONS__SLACK__TYPE": "slack",
        "PROCOS_CONNECTIONS__SLACK__TOKEN": TOKEN,
        "PROCOS_CONNECTIONS__SLACK__BASE_URL": httpserver.url_for("/api"),
        "PROCOS_CONNECTIONS__GITHUB__TYPE": "github",
        "PROCOS_CONNECTIONS__GITHUB__TOKEN": "ghp_test0123456789",
        "PROCOS_CONNECTIONS__GITHUB__BASE_URL": httpserver.url_for("/"),
        "PROCOS_SECRETS__NOTE": "a secret note",
        "PROCOS_SECRETS_ALLOWED": '{"ai_query": ["NOTE"]}',
    }
    return context_with(load_settings(names, dotenv=None))


class TestSlackMessage:
    def test_sends_a_message_where_the_step_says_no_more(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json(SENT)
        given = SlackMessageInput.model_validate({"channel": "C1", "message": "hello"})
        assert slack_message(given, step).model_dump() == {"channel": "C1", "ts": "1.1"}

    def test_takes_no_notice_of_variables_of_other_operations(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json(SENT)
        others = {"ts": "not a ts", "title": 5, "emoji": {"a": 1}, "file": ["x"], "blocks": None}
        slack_message(SlackMessageInput.model_validate({"channel": "C1", "message": "hello", **others}), step)
        assert json.loads(httpserver.log[0][0].data) == {"channel": "C1", "text": "hello"}

    def test_names_what_its_operation_needs(self, step: TaskContext) -> None:
        given = SlackMessageInput.model_validate({"operation": "update_message", "ts": 7, "message": ""})
        with pytest.raises(BusinessError) as raised:
            slack_message(given, step)
        assert raised.value.code == "INVALID_INPUT"
        assert raised.value.message == (
            "message: String should have at least 1 character; ts: Input should be a valid string"
        )

    def test_knows_its_operations(self) -> None:
        with pytest.raises(ValidationError, match="'send_message', 'update_message' or 'upload_file'"):
            SlackMessageInput.model_validate({"operation": "delete_workspace"})

    def test_is_not_sent_again_after_a_run_that_was_cut_off(self, step: TaskContext, httpserver: HTTPServer) -> None:
        given = SlackMessageInput.model_validate({"channel": "C1", "message": "hello"})
        with pytest.raises(PermanentError, match=r"slack\.send_message: an earlier run .* may have done it") as raised:
            slack_message(given, replace(step, started_before=True))
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert httpserver.log == []

    def test_is_not_sent_where_nobody_waits_for_it(self, step: TaskContext, httpserver: HTTPServer) -> None:
        given = SlackMessageInput.model_validate({"channel": "C1", "message": "hello"})
        with pytest.raises(StepCancelled):
            slack_message(given, replace(step, cancelled=lambda: True))
        assert httpserver.log == []

    def test_needs_a_connection_of_its_kind(self, step: TaskContext) -> None:
        given = SlackMessageInput.model_validate({"connection": "github", "message": "hello"})
        with pytest.raises(PermanentError, match=r"'github' is of type 'github'; topic .* needs one of type 'slack'"):
            slack_message(given, step)


class TestGithubIssue:
    def test_gives_what_its_operation_gives_and_no_more(self, step: TaskContext, httpserver: HTTPServer) -> None:
        said = {"id": 5, "html_url": "https://github.test/5"}
        httpserver.expect_request("/repos/acme/shop/issues/7/comments").respond_with_json(said, status=201)
        variables = {"operation": "comment_issue", "repository": "acme/shop", "number": 7, "body": "seen"}
        found = github_issue(GithubIssueInput.model_validate(variables), step).model_dump()
        assert list(found) == ["repository", "number", "comment_id", "comment_url"]

    def test_gives_a_search_as_plain_json(self, step: TaskContext, httpserver: HTTPServer) -> None:
        item = {"number": 1, "html_url": "https://github.test/acme/shop/issues/1", "state": "open", "title": "t"}
        said = {"total_count": 1, "incomplete_results": False, "items": [item]}
        httpserver.expect_request("/search/issues").respond_with_json(said)
        given = GithubIssueInput.model_validate({"operation": "search_issues", "query": "is:issue"})
        found = github_issue(given, step).model_dump()
        assert json.loads(json.dumps(found))["issues"][0]["repository"] == "acme/shop"


class TestServiceCall:
    def call(self, step: TaskContext, **variables: Any) -> Any:
        return service_call(ServiceCallInput.model_validate(variables), step).model_dump()

    def test_gives_the_result_as_one_variable(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json(SENT)
        parameters = '{"channel": "C1", "message": "hello"}'
        found = self.call(step, connection="slack", operation="send_message", parameters=parameters)
        assert found == {"result": {"channel": "C1", "ts": "1.1"}}

    def test_puts_in_the_secrets_that_the_model_names(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json(SENT)
        constant = '{"channel": "C1", "message": "{{secrets.NOTE}}"}'
        context = replace(step, constants={"parameters": constant})
        self.call(context, connection="slack", operation="send_message", parameters=constant)
        assert json.loads(httpserver.log[0][0].data)["text"] == "a secret note"

    def test_leaves_a_users_text_as_it_is(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json(SENT)
        parameters = {"channel": "C1", "message": "{{secrets.NOTE}}"}
        self.call(step, connection="slack", operation="send_message", parameters=parameters)
        assert json.loads(httpserver.log[0][0].data)["text"] == "{{secrets.NOTE}}"

    def test_says_which_operations_there_are(self, step: TaskContext) -> None:
        with pytest.raises(BusinessError, match=r"slack has no such operation; .*; did you mean send_message\?"):
            self.call(step, connection="slack", operation="send_mesage")

    def test_names_parameters_there_are_none_of(self, step: TaskContext) -> None:
        with pytest.raises(BusinessError, match="colour: Extra inputs are not permitted"):
            self.call(step, connection="slack", operation="send_message", parameters={"message": "x", "colour": "red"})


class Circle(BaseModel):
    size: int


class Square(BaseModel):
    size: str


class Odd(Adapter):
    name = "odd"
    connection = Connection

    @operation()
    def draw(self, what: Circle, _call: Call) -> Circle:
        return what

    @operation()
    def rub(self, what: Square, _call: Call) -> Circle:
        return Circle(size=len(what.size))

    def health_check(self) -> Health:
        return Health(is_well=True, detail="", seconds=0.0)


class TestStepOf:
    @pytest.mark.parametrize(("topic", "adapter"), [("slack_message", Slack), ("github_issue", GitHub)])
    def test_says_what_all_operations_take(self, topic: str, adapter: type[Adapter]) -> None:
        taken = {name for each in adapter.operations().values() for name in each.parameters.model_fields}
        assert {"connection", "operation", *taken} == set(ROUTES[Topic(topic)].variables or ())

    def test_refuses_one_name_for_two_things(self) -> None:
        with pytest.raises(TypeError, match="size: means different things to draw and rub"):
            step_of(Odd, default="draw")
        assert list(outcome_of(Odd).model_fields) == ["size"]


class TestTemplates:
    def field(self, topic: str, name: str) -> dict[str, Any]:
        properties: Any = template(Topic(topic), ROUTES[Topic(topic)])["properties"]
        return next(each for each in properties if each["binding"].get("name") == name)

    def test_let_people_choose_the_operation(self) -> None:
        field = self.field("slack_message", "operation")
        assert [each["value"] for each in field["choices"]] == [
            "add_reaction", "send_message", "update_message", "upload_file",
        ]  # fmt: skip
        assert field["description"] == "What is to be done; empty: the variable operation, else send_message"

    def test_say_which_operation_a_field_is_for(self) -> None:
        assert self.field("slack_message", "emoji")["description"] == (
            "Its name, such as white_check_mark (add_reaction); empty: the variable emoji"
        )
        assert self.field("github_issue", "draft")["type"] == "Dropdown"
        assert self.field("slack_message", "message")["type"] == "Text"
        lines = [("slack_message", "thread_ts"), ("slack_message", "connection"), ("github_issue", "title")]
        assert {self.field(topic, name)["type"] for topic, name in lines} == {"String"}
