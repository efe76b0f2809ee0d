"""Adapter slack against scripted answers: what each of Slack's words means, and what is done again after it."""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from werkzeug import Response

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError, TransientError
from tasks.adapters.slack.adapter import Slack, is_place_of
from tests.raw_service import HEAD, raw_service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_httpserver import HTTPServer
    from werkzeug import Request

TOKEN = "xoxb-test-0123456789"
SEND = {"channel": "C1", "message": "hello"}
UPDATE = {**SEND, "ts": "1.1"}
SENT = {"ok": True, "channel": "C1", "ts": "1.1"}


def slack_at(url: str, **fields: Any) -> Slack:
    return Slack(Slack.connection(type="slack", token=TOKEN, base_url=url, **fields))


def call(slack: Slack, operation: str, **parameters: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 4.0
    return dict(slack.call_service(operation, parameters, deadline=deadline, idempotency_key="step-1"))


@pytest.fixture
def slack(httpserver: HTTPServer) -> Slack:
    return slack_at(httpserver.url_for("/api"), channel="C9")


def answers(server: HTTPServer, method: str, said: object, **more: Any) -> None:
    server.expect_request(f"/api/{method}", method="POST").respond_with_json(said, **more)


def asked(server: HTTPServer) -> list[Any]:
    return [json.loads(request.data) for request, _ in server.log]


class TestSendMessage:
    def test_says_what_it_was_told(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "chat.postMessage", SENT)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*hello*"}}]
        call(slack, "send_message", **SEND, blocks=json.dumps(blocks), thread_ts="0.5", reply_broadcast="true")
        told = {"channel": "C1", "text": "hello", "blocks": blocks, "thread_ts": "0.5", "reply_broadcast": True}
        assert asked(httpserver) == [told]
        assert httpserver.log[0][0].headers["Authorization"] == f"Bearer {TOKEN}"

    def test_goes_to_the_channel_of_the_connection(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "chat.postMessage", SENT)
        assert call(slack, "send_message", message="hello") == {"channel": "C1", "ts": "1.1"}
        assert asked(httpserver) == [{"channel": "C9", "text": "hello"}]

    def test_needs_a_channel(self) -> None:
        with pytest.raises(BusinessError, match="channel: is missing, and the connection names none") as raised:
            call(slack_at("http://127.0.0.1:9"), "send_message", message="hello")
        assert raised.value.code == "INVALID_INPUT"

    def test_calls_nobody_in_a_plain_text(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "chat.postMessage", SENT)
        call(slack, "send_message", message="<!channel> a & b", message_format="plain")
        assert asked(httpserver) == [{"channel": "C9", "text": "&lt;!channel&gt; a &amp; b", "mrkdwn": False}]

    def test_is_in_no_log(self, slack: Slack, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        answers(httpserver, "chat.postMessage", SENT)
        call(slack, "send_message", channel="C1", message="for your eyes only")
        assert "eyes only" not in caplog.text
        assert TOKEN not in caplog.text

    def test_is_not_sent_again_by_the_library(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "chat.postMessage", {"ok": False, "error": "ratelimited"}, status=429)
        with pytest.raises(RateLimited):
            call(slack, "send_message", **SEND)
        assert len(httpserver.log) == 1


class TestReaction:
    def test_that_is_there_already_is_what_was_wanted(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "reactions.add", {"ok": False, "error": "already_reacted"})
        assert call(slack, "add_reaction", ts="1.1", emoji=":tada:") == {"channel": "C9", "ts": "1.1"}
        assert asked(httpserver) == [{"channel": "C9", "timestamp": "1.1", "name": "tada"}]

    def test_that_cannot_be_is_a_no(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "reactions.add", {"ok": False, "error": "too_many_reactions"})
        with pytest.raises(BusinessError, match=r"Slack refuses it \(too_many_reactions\)"):
            call(slack, "add_reaction", ts="1.1", emoji="tada")


class TestPlace:
    @pytest.mark.parametrize("url", ["https://files.slack.com/upload/v1/x", "https://localhost:4003/upload"])
    def test_is_at_slack_or_on_the_host_that_stands_in_for_it(self, url: str) -> None:
        assert is_place_of("https://localhost:4003/api", url)


class TestUpload:
    def place(self, server: HTTPServer, **status: int) -> None:
        url = server.url_for("/put/1")
        answers(server, "files.getUploadURLExternal", {"ok": True, "upload_url": url, "file_id": "F1"})
        server.expect_request("/put/1", method="POST").respond_with_data("OK - 5", status=status.get("put", 200))

    def test_shares_a_text_as_a_file(self, slack: Slack, httpserver: HTTPServer) -> None:
        self.place(httpserver)
        shared = {"ok": True, "files": [{"id": "F1", "permalink": "https://x.slack.test/F1"}]}
        answers(httpserver, "files.completeUploadExternal", shared)
        found = call(slack, "upload_file", file="a,b\n1", file_name="x.csv", message="see", thread_ts="1.1")
        assert found == {"channel": "C9", "file_id": "F1", "file_url": "https://x.slack.test/F1"}
        first, put, last = (request for request, _ in httpserver.log)
        assert first.form.to_dict() == {"filename": "x.csv", "length": "5"}
        assert (put.data, put.headers.get("Authorization")) == (b"a,b\n1", None)
        files = [{"id": "F1", "title": "x.csv"}]
        told = {"files": files, "channel_id": "C9", "initial_comment": "see", "thread_ts": "1.1"}
        assert json.loads(last.data) == told

    def test_that_did_not_arrive_is_tried_again(self, slack: Slack, httpserver: HTTPServer) -> None:
        self.place(httpserver, put=500)
        with pytest.raises(TransientError, match="the file did not reach Slack: HTTP 500"):
            call(slack, "upload_file", file="x")

    def test_that_may_have_been_shared_is_not(self, slack: Slack, httpserver: HTTPServer) -> None:
        self.place(httpserver)
        httpserver.expect_request("/api/files.completeUploadExternal").respond_with_data("", status=502)
        with pytest.raises(PermanentError, match=r"files\.completeUploadExternal") as raised:
            call(slack, "upload_file", file="x")
        assert raised.value.code == "OUTCOME_UNKNOWN"

    @pytest.mark.parametrize(
        "place",
        [
            None, "", 7, "file:///etc/passwd", "ftp://127.0.0.1/x", "https://10.0.0.7/x", "https:///x",
            "https://files.slack.com.evil.test/x", "https://slack.com@evil.test/x", "http://files.slack.com/x",
        ],
    )  # fmt: skip
    def test_goes_to_no_odd_place(self, slack: Slack, httpserver: HTTPServer, place: object) -> None:
        answers(httpserver, "files.getUploadURLExternal", {"ok": True, "upload_url": place, "file_id": "F1"})
        with pytest.raises(TransientError, match="Slack names no place for the file"):
            call(slack, "upload_file", file="x")


class TestVerdicts:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            ("channel_not_found", "CHANNEL_NOT_FOUND"),
            ("not_in_channel", "NOT_IN_CHANNEL"),
            ("is_archived", "CHANNEL_ARCHIVED"),
            ("message_not_found", "NOT_FOUND"),
            ("invalid_blocks", "INVALID_INPUT"),
            ("msg_too_long", "INVALID_INPUT"),
            ("restricted_action", "REFUSED"),
            ("a_word_of_next_year", "REFUSED"),
            ("<script>not a word</script>", "REFUSED"),
        ],
    )
    def test_of_a_no_are_codes_a_model_may_catch(
        self, slack: Slack, httpserver: HTTPServer, error: str, code: str
    ) -> None:
        answers(httpserver, "chat.postMessage", {"ok": False, "error": error})
        with pytest.raises(BusinessError) as raised:
            call(slack, "send_message", **SEND)
        assert raised.value.code == code
        assert "script" not in str(raised.value)

    @pytest.mark.parametrize("error", ["invalid_auth", "not_authed", "token_revoked", "account_inactive"])
    def test_of_credentials_are_the_operators(self, slack: Slack, httpserver: HTTPServer, error: str) -> None:
        answers(httpserver, "chat.postMessage", {"ok": False, "error": error})
        with pytest.raises(PermanentError, match=f"Slack refuses the connection's credentials: {error}") as raised:
            call(slack, "send_message", **SEND)
        assert raised.value.code == "AUTH_FAILED"
        assert TOKEN not in str(raised.value)

    def test_name_the_scope_that_is_missing(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "chat.postMessage", {"ok": False, "error": "missing_scope", "needed": "chat:write"})
        with pytest.raises(PermanentError, match=r"missing_scope \(it needs the scope chat:write\)"):
            call(slack, "send_message", **SEND)

    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ({"Retry-After": "7"}, timedelta(seconds=7)),
            ({"Retry-After": "0"}, timedelta(seconds=1)),
            ({"Retry-After": "999999"}, timedelta(hours=1)),
            ({"Retry-After": "-3"}, timedelta(seconds=30)),
            ({"Retry-After": "soon"}, timedelta(seconds=30)),
            ({"Retry-After": "9" * 500}, timedelta(hours=1)),
            ({}, timedelta(seconds=30)),
        ],
    )
    def test_of_a_limit_are_postponements_within_bounds(
        self, slack: Slack, httpserver: HTTPServer, header: dict[str, str], wait: timedelta
    ) -> None:
        said = {"ok": False, "error": "ratelimited"}
        answers(httpserver, "chat.postMessage", said, status=429, headers=header)
        with pytest.raises(RateLimited, match=r"chat\.postMessage: the rate limit is reached") as raised:
            call(slack, "send_message", **SEND)
        assert raised.value.retry_in == wait

    def test_of_a_date_count_from_the_services_clock(self, slack: Slack, httpserver: HTTPServer) -> None:
        def later(_: Request) -> Response:
            headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "Wed, 21 Oct 2015 07:27:00 GMT"}
            return Response("{}", status=429, headers=headers)

        httpserver.expect_request("/api/chat.postMessage").respond_with_handler(later)
        with pytest.raises(RateLimited) as raised:
            call(slack, "send_message", **SEND)
        assert timedelta(seconds=1) <= raised.value.retry_in <= timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("answer", "of_message", "of_update"),
        [
            pytest.param((200, '{"ok": false, "error": "internal_error"}'), "OUTCOME_UNKNOWN", "NO_ANSWER", id="half"),
            pytest.param(
                (200, '{"ok": false, "error": "request_timeout"}'), "UNAVAILABLE", "UNAVAILABLE", id="not-read"
            ),
            pytest.param((500, "oops"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="500"),
            pytest.param((502, ""), "OUTCOME_UNKNOWN", "NO_ANSWER", id="502"),
            pytest.param((503, "later"), "OUTCOME_UNKNOWN", "UNAVAILABLE", id="503"),
            pytest.param((408, ""), "UNAVAILABLE", "UNAVAILABLE", id="408"),
            pytest.param((425, ""), "UNAVAILABLE", "UNAVAILABLE", id="425"),
            pytest.param((200, "<html>Log in to our network</html>"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-page"),
            pytest.param((200, "[]"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-list"),
            pytest.param((200, "[" * 100_000), "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-deep-list"),
            pytest.param((200, "{}"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="neither-yes-nor-no"),
            pytest.param((200, '{"ok": false}'), "OUTCOME_UNKNOWN", "NO_ANSWER", id="a-no-without-a-word"),
            pytest.param((200, '{"ok": true}'), "OUTCOME_UNKNOWN", "NO_ANSWER", id="no-ts"),
            pytest.param((200, '{"ok": true, "channel": {}, "ts": 1}'), "OUTCOME_UNKNOWN", "NO_ANSWER", id="odd-types"),
            pytest.param((200, ""), "OUTCOME_UNKNOWN", "NO_ANSWER", id="nothing"),
            pytest.param((200, '{"ok": "\xff"'), "OUTCOME_UNKNOWN", "NO_ANSWER", id="broken"),
            pytest.param((200, "{\0}\0"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="another-encoding"),
            pytest.param((200, '{"ok": ' + "9" * 5000 + "}"), "OUTCOME_UNKNOWN", "NO_ANSWER", id="endless-number"),
            pytest.param((302, ""), "REFUSED", "REFUSED", id="redirect"),
            pytest.param((404, "no"), "REFUSED", "REFUSED", id="404"),
            pytest.param((401, ""), "AUTH_FAILED", "AUTH_FAILED", id="401"),
        ],
    )
    def test_tell_what_may_be_done_again(
        self, slack: Slack, httpserver: HTTPServer, answer: tuple[int, str], of_message: str, of_update: str
    ) -> None:
        status, text = answer
        httpserver.expect_request("/api/chat.postMessage").respond_with_data(text, status=status)
        httpserver.expect_request("/api/chat.update").respond_with_data(text, status=status)
        assert code_of(slack, "send_message", SEND) == of_message
        assert code_of(slack, "update_message", UPDATE) == of_update

    @pytest.mark.parametrize("says", [b"", HEAD + b"Content-Length: 100\r\n\r\n{"], ids=["hangs-up", "breaks-off"])
    def test_of_a_lost_answer_tell_the_same(self, says: bytes) -> None:
        with raw_service() as service:
            service.says = says
            slack = slack_at(service.url)
            assert code_of(slack, "send_message", SEND) == "OUTCOME_UNKNOWN"
            assert code_of(slack, "update_message", UPDATE) == "NO_ANSWER"
            assert len(service.requests) == 2

    def test_of_a_service_that_is_not_there_are_another_try(self) -> None:
        assert code_of(slack_at("http://127.0.0.1:9"), "send_message", SEND) == "UNREACHABLE"


def code_of(slack: Slack, operation: str, parameters: Mapping[str, object]) -> str:
    with pytest.raises(TaskError) as raised:
        call(slack, operation, **parameters)
    return str(getattr(raised.value, "code", "RATE_LIMITED"))


class TestHealth:
    def test_says_who_we_are(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "auth.test", {"ok": True, "team": "Acme <b>", "user": "procos"})
        health = slack.health_check()
        assert (health.is_well, health.detail) == (True, "procos in Acme b")

    def test_says_why_not(self, slack: Slack, httpserver: HTTPServer) -> None:
        answers(httpserver, "auth.test", {"ok": False, "error": "invalid_auth"})
        health = slack.health_check()
        assert (health.is_well, health.detail) == (
            False,
            "Slack refuses the connection's credentials: invalid_auth",
        )


class TestConnection:
    @pytest.mark.parametrize(
        "fields",
        [
            {"base_url": "http://slack.example.org/api"},
            {"base_url": "file:///etc/passwd"},
            {"base_url": "https://user:pass@slack.example.org"},
            {"base_url": "https://slack.example.org/api?x=1"},
            {"base_url": "https://slack.example.org:99999"},
            {"base_url": "https://slack.example.org/a b"},
            {"base_url": "slack.example.org"},
            {"proxy": "socks5://127.0.0.1:1"},
            {"timeout": 0},
            {"timeout": 601},
            {"channel": "a b"},
            {"colour": "blue"},
        ],
    )
    def test_refuses_what_cannot_be(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Slack.connection(type="slack", token=TOKEN, **fields)

    def test_leads_to_slack_by_itself(self) -> None:
        assert Slack.connection(type="slack", token=TOKEN).base_url == "https://slack.com/api"
