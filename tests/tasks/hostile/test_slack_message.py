"""What a hostile variable cannot make topic slack_message do: nothing is sent, or it is sent as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procos.settings import load_settings
from tasks.generic.slack_message import SlackMessageInput, slack_message
from tests.tasks.hostile.endings import ANYTHING, ending_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

    from tasks.context import TaskContext

TOKEN = "xoxb-test-0123456789"
DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]
BLOB = {"procos_blob": 1, "key": "../../etc/passwd/" + "0" * 64, "sha256": "0" * 64, "size": 1}
UPDATE, REACT, UPLOAD = {"operation": "update_message"}, {"operation": "add_reaction"}, {"operation": "upload_file"}

REFUSED: list[Any] = [
    pytest.param({"channel": "#general\r\nX-Evil: 1"}, id="channel-with-a-header"),
    pytest.param({"channel": "../../api/admin.users.remove"}, id="channel-with-a-path"),
    pytest.param({"channel": "C1,C2,C3"}, id="several-channels"),
    pytest.param({"channel": "https://hooks.slack.com/services/x"}, id="channel-that-is-an-address"),
    pytest.param({"channel": "c" * 100}, id="endless-channel"),
    pytest.param({"channel": ["C1", "C2"]}, id="list-of-channels"),
    pytest.param({"channel": "C1\0"}, id="channel-with-nul"),
    pytest.param({"message": ""}, id="empty-message"),
    pytest.param({"message": "x" * 40_001}, id="message-that-would-be-cut-off"),
    pytest.param({"message": "a\0b"}, id="message-with-nul"),
    pytest.param({"message": "\x1b[2J\x1b[1;1Hroot#"}, id="message-with-terminal-codes"),
    pytest.param({"message": "\ud800"}, id="half-a-surrogate-pair"),
    pytest.param({"message": {"text": "x"}}, id="message-that-is-an-object"),
    pytest.param({"blocks": [{"type": "divider"}] * 51}, id="too-many-blocks"),
    pytest.param({"blocks": [{"type": "section", "elements": DEEP}]}, id="deep-blocks"),
    pytest.param({"blocks": "[" * 100_000}, id="deep-blocks-as-text"),
    pytest.param({"blocks": [{"type": "x", "text": "y" * 100_001}]}, id="huge-block"),
    pytest.param({"blocks": [{"type": "x", "options": [0] * 10_001}]}, id="block-of-many-values"),
    pytest.param({"blocks": "x" * 200_001}, id="huge-text-for-blocks"),
    pytest.param({"blocks": [{"type": "x", "value": float("inf")}]}, id="infinity-in-a-block"),
    pytest.param({"blocks": [{"type": "\ud800"}]}, id="half-a-pair-in-a-block"),
    pytest.param({"blocks": {"type": "divider"}}, id="one-block-for-a-list"),
    pytest.param({"blocks": "<blocks/>"}, id="blocks-that-are-no-json"),
    pytest.param({"thread_ts": "1.1; drop"}, id="thread-that-is-no-moment"),
    pytest.param({"thread_ts": "9" * 1000 + ".1"}, id="endless-moment"),
    pytest.param({**UPDATE, "ts": "1.1\n2.2"}, id="two-moments"),
    pytest.param({**UPDATE, "ts": "\u0661.\u0661"}, id="moment-in-other-digits"),
    pytest.param({**REACT, "ts": "1.1", "emoji": "../tada"}, id="emoji-with-a-path"),
    pytest.param({**REACT, "ts": "1.1", "emoji": ":" * 300}, id="endless-colons"),
    pytest.param({**UPLOAD, "file": "x", "file_name": "a\r\nContent-Type: text/html"}, id="file-name-with-a-header"),
    pytest.param({**UPLOAD, "file": BLOB}, id="reference-out-of-the-store"),
    pytest.param({**UPLOAD, "file": "/etc/passwd\0"}, id="file-that-is-a-path-with-nul"),
    pytest.param({**UPLOAD, "file": ""}, id="empty-file"),
    pytest.param({"operation": "__init__"}, id="operation-of-python"),
    pytest.param({"operation": "health_check"}, id="operation-that-is-none"),
    pytest.param({"operation": ["send_message"]}, id="operation-in-a-list"),
    pytest.param({"connection": "../slack"}, id="connection-with-a-path"),
    pytest.param({"connection": "SLACK; drop"}, id="connection-that-is-no-name"),
]  # fmt: skip


@pytest.fixture
def step(context_with: Callable[..., TaskContext], httpserver: HTTPServer) -> TaskContext:
    names = {
        "PROCOS_CONNECTIONS__SLACK__TYPE": "slack",
        "PROCOS_CONNECTIONS__SLACK__TOKEN": TOKEN,
        "PROCOS_CONNECTIONS__SLACK__BASE_URL": httpserver.url_for("/api"),
    }
    return context_with(load_settings(names, dotenv=None))


def code_of(variables: dict[str, Any], step: TaskContext) -> str:
    return ending_of(lambda: slack_message(SlackMessageInput.model_validate(variables), step), secret=TOKEN)


class TestHostileVariables:
    @pytest.mark.parametrize("variables", REFUSED)
    def test_are_refused_and_nothing_is_sent(
        self, variables: dict[str, Any], step: TaskContext, httpserver: HTTPServer
    ) -> None:
        code = code_of({"channel": "C1", "message": "hello", **variables}, step)
        assert code in {"INVALID_INPUT", "CONNECTION_UNKNOWN"}
        assert httpserver.log == []

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param('","channel":"C2', id="json-in-a-text"),
            pytest.param("{{secrets.SLACK_TOKEN}}", id="name-of-a-secret"),
            pytest.param("/etc/passwd", id="path"),
            pytest.param("${jndi:ldap://127.0.0.1/x} {{7*7}} <%= 7*7 %>", id="templates"),
            pytest.param("\u202egnp.exe", id="text-from-right-to-left"),
        ],
    )
    def test_stay_text(self, message: str, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json({"ok": True, "channel": "C1", "ts": "1.1"})
        assert code_of({"channel": "C1", "message": message}, step) == ""
        assert json.loads(httpserver.log[0][0].data) == {"channel": "C1", "text": message}

    def test_call_nobody_where_the_text_is_plain(self, step: TaskContext, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/chat.postMessage").respond_with_json({"ok": True, "channel": "C1", "ts": "1.1"})
        code_of({"channel": "C1", "message": "<!channel> <@U1>", "message_format": "plain"}, step)
        assert "<" not in json.loads(httpserver.log[0][0].data)["text"]


OPERATIONS = ("send_message", "update_message", "add_reaction", "upload_file")


class TestAnyVariables:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        variables=st.dictionaries(st.sampled_from(sorted(SlackMessageInput.model_fields)), ANYTHING, max_size=6),
        operation=st.sampled_from(OPERATIONS),
    )
    def test_end_as_a_value_or_an_error_of_ours(
        self, variables: dict[str, Any], operation: str, context_with: Callable[..., TaskContext]
    ) -> None:
        names = {
            "PROCOS_CONNECTIONS__SLACK__TYPE": "slack",
            "PROCOS_CONNECTIONS__SLACK__TOKEN": TOKEN,
            "PROCOS_CONNECTIONS__SLACK__BASE_URL": "http://127.0.0.1:9",
        }
        context = context_with(load_settings(names, dotenv=None), seconds=2.0)
        known = {"INVALID_INPUT", "CONNECTION_UNKNOWN", "UNREACHABLE", "BLOBS_UNSET"}
        assert code_of({**variables, "operation": operation}, context) in known
