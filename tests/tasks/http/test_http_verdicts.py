"""What an answer, or none, means for a step: an end, another try, patience, or that nobody knows."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import (
    BlobsUnreachableError,
    BusinessError,
    PermanentError,
    RateLimited,
    StepCancelled,
    TransientError,
)
from procos.settings import load_settings
from tasks.adapters.calling import called, service
from tasks.adapters.http import transport
from tasks.adapters.http.adapter import Http
from tasks.adapters.http.connection import HttpConnection
from tasks.adapters.http.content import excerpt
from tasks.adapters.http.verdict import waited
from tests.raw_http import RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer

    from tasks.context import TaskContext

    Ask = Callable[..., Any]

ONCE, AGAIN = {"method": "POST", "body": {"a": 1}}, {"method": "GET"}
WORDS = [(None, "takes connections"), ("health", "status 200"), ("broken", "status 500"), ("away", "status 500")]
KEY = {"idempotency_header": "Idempotency-Key"}


class TestStatus:
    @pytest.mark.parametrize("status", [304, 400, 403, 404, 409, 410, 418, 422])
    def test_is_an_end_the_model_may_catch(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_json({"why": "so"}, status=status, headers={"X-A": "1"})
        with pytest.raises(BusinessError) as raised:
            ask(path="x")
        assert raised.value.code == f"HTTP_{status}"
        assert raised.value.variables["http_status"] == status
        assert raised.value.variables["http_body"] == (None if status == 304 else {"why": "so"})

    def test_comes_with_no_more_of_the_answer_than_a_variable_should_hold(
        self, ask: Ask, httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data("a\0b" * 100_000, status=400, content_type="text/plain")
        with pytest.raises(BusinessError) as raised:
            ask(path="x")
        body = raised.value.variables["http_body"]
        assert isinstance(body, str)
        assert len(body) == 64 * 1024
        assert "\0" not in body

    def test_counts_even_where_the_answer_breaks_off(self) -> None:
        said = answer(b'{"why"', status="404 Not Found").replace(b"Content-Length: 6", b"Content-Length: 60")
        with RawServer(lambda _: [said]) as server:
            http = Http(HttpConnection(url=server.url, allowed_addresses=["127.0.0.1"]))
            with pytest.raises(BusinessError, match="HTTP_404") as raised:
                http.call_service("request", AGAIN, deadline=time.monotonic() + 3, idempotency_key="k")
        assert raised.value.variables["http_body"] == '{"why"'

    def test_counts_no_more_where_the_step_is_cancelled_while_the_answer_comes(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"{"
            raise StepCancelled("the step was cancelled")

        with pytest.raises(StepCancelled):
            excerpt(pieces(), "application/json", "https://crm.example")

    def test_that_is_expected_is_an_answer(self, ask: Ask, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/x").respond_with_json({"why": "new"}, status=404)
        found = ask(path="x", expected_statuses="[404]")
        assert (found["status"], found["body"]) == (404, {"why": "new"})

    @pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 520])
    def test_is_a_failed_try(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=status)
        with pytest.raises(TransientError) as raised:
            ask(path="x")
        assert raised.value.code == f"HTTP_{status}"

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 520, 524])
    def test_leaves_open_what_became_of_a_post(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=status)
        with pytest.raises(PermanentError, match="may have been carried out; look") as raised:
            ask(path="x", **ONCE)
        assert raised.value.code == "OUTCOME_UNKNOWN"

    @pytest.mark.parametrize("status", [408, 425, 501, 505])
    def test_says_that_a_post_was_not_taken(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=status)
        with pytest.raises(TransientError):
            ask(path="x", **ONCE)

    @pytest.mark.parametrize(("fields", "more"), [(KEY, {}), ({}, {"idempotent": True})])
    def test_of_a_post_that_may_be_sent_twice_is_a_failed_try(
        self, ask: Ask, httpserver: HTTPServer, fields: dict[str, Any], more: dict[str, Any]
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=502)
        with pytest.raises(TransientError):
            ask(fields, path="x", **ONCE, **more)

    @pytest.mark.parametrize(("status", "said", "seconds"), [(429, None, 30), (429, "7", 7), (503, "90000", 3600)])
    def test_asks_for_patience(
        self, ask: Ask, httpserver: HTTPServer, status: int, said: str | None, seconds: int
    ) -> None:
        headers = {"Retry-After": said} if said else {}
        httpserver.expect_request("/api/x").respond_with_data("", status=status, headers=headers)
        with pytest.raises(RateLimited) as raised:
            ask(path="x", **ONCE)
        assert raised.value.retry_in == timedelta(seconds=seconds)

    def test_401_is_for_the_operator_where_credentials_are_the_operators(
        self, ask: Ask, httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=401)
        with pytest.raises(PermanentError, match="mend its credentials") as raised:
            ask({"token": "abcdef"}, path="x")
        assert raised.value.code == "AUTH_FAILED"
        with pytest.raises(BusinessError):
            ask(path="x")


class TestRetryAfter:
    @pytest.mark.parametrize("said", [None, "", "soon", "-5", "1.5", "1e3", "9" * 30, "Sun, 99 Nov 2026 08:00:00 GMT"])
    def test_that_says_nothing_is_none(self, said: str | None) -> None:
        assert waited(said, longest_wait=10) is None

    def test_is_a_date_too(self) -> None:
        later = datetime.now(UTC) + timedelta(minutes=5)
        found = waited(format_datetime(later, usegmt=True), longest_wait=3600)
        assert found is not None
        assert timedelta(minutes=4) < found <= timedelta(minutes=5)
        assert waited("Sun, 06 Nov 1994 08:49:37 GMT", longest_wait=3600) == timedelta(0)
        assert waited("Fri, 31 Dec 9999 23:59:59 GMT", longest_wait=3600) == timedelta(hours=1)


class TestNoAnswer:
    @pytest.mark.parametrize("request_", [ONCE, AGAIN])
    def test_where_nobody_listens_is_a_failed_try_of_either(self, request_: dict[str, Any]) -> None:
        with RawServer(lambda _: []) as server:
            url = server.url
        http = Http(HttpConnection(url=url, allowed_addresses=["127.0.0.1"]))
        with pytest.raises(TransientError, match="no connection") as raised:
            http.call_service("request", request_, deadline=time.monotonic() + 3, idempotency_key="k")
        assert raised.value.code == "UNREACHABLE"

    def test_of_a_service_without_tls_is_a_failed_try_of_either(self) -> None:
        with RawServer(lambda _: [b"plain"]) as server:
            url = server.url.replace("http:", "https:")
            http = Http(HttpConnection(url=url, allowed_addresses=["127.0.0.1"]))
            with pytest.raises(TransientError, match=r"TLS failed \(.+\)") as raised:
                http.call_service("request", ONCE, deadline=time.monotonic() + 3, idempotency_key="k")
        assert raised.value.code == "UNREACHABLE"


class TestRedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_is_followed_at_home(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=status, headers={"Location": "/api/y?b=2"})
        httpserver.expect_request("/api/y", query_string="b=2").respond_with_json({"ok": True})
        found = ask({"token": "abcdef"}, path="x", **ONCE)
        assert (found["body"], found["redirects"]) == ({"ok": True}, 1)
        last = httpserver.log[-1][0]
        assert last.headers["Authorization"] == "Bearer abcdef"
        assert (last.method, last.get_data()) == (("POST", b'{"a":1}') if status > 303 else ("GET", b""))

    def test_takes_nothing_that_lets_us_in_to_another_origin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Elsewhere only public addresses are asked, and a test has none: this one counts as public.
        monkeypatch.setattr("AntiSSRF.IPAddressRanges.recommended_latest", ("10.0.0.0/8",))
        transport._guard.cache_clear()
        with RawServer(lambda _: [answer(b"1")]) as elsewhere:
            there = f"Location: {elsewhere.url}"
            with RawServer(lambda _: [answer(b"", there, status="302 Found")]) as home:
                http = Http(HttpConnection(url=home.url, token="abcdef", headers={"X-Key": "geheim"}))
                request = {"headers": {"Cookie": "s=geheim", "Accept": "text/csv"}}
                http.call_service("request", request, deadline=time.monotonic() + 3, idempotency_key="k")
            (seen,) = elsewhere.requests
        transport._guard.cache_clear()
        assert b"abcdef" not in seen
        assert b"geheim" not in seen
        assert b"text/csv" in seen

    def test_of_a_body_to_another_origin_is_not_followed(self) -> None:
        there = "Location: https://public.example/"
        with RawServer(lambda _: [answer(b"", there, status="307 Temporary Redirect")]) as home:
            http = Http(HttpConnection(url=home.url, allowed_addresses=["127.0.0.1"]))
            with pytest.raises(BusinessError) as raised:
                http.call_service("request", ONCE, deadline=time.monotonic() + 3, idempotency_key="k")
        assert raised.value.code == "HTTP_307"

    @pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
    def test_after_a_post_leaves_no_way_to_send_that_again(self, ask: Ask, httpserver: HTTPServer, status: int) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=303, headers={"Location": "/api/y"})
        httpserver.expect_request("/api/y").respond_with_data("", status=status, headers={"Retry-After": "5"})
        with pytest.raises(PermanentError, match="the request was taken") as raised:
            ask({"token": "abcdef"}, path="x", **ONCE)
        assert raised.value.code == "OUTCOME_UNKNOWN"

    @pytest.mark.parametrize("there", ["/api/x", "ftp://public.example/", "http://10.0.0.1:9/"])
    def test_after_a_post_that_cannot_be_followed_is_no_end_of_the_post(
        self, ask: Ask, httpserver: HTTPServer, there: str
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data("", status=303, headers={"Location": there})
        with pytest.raises(PermanentError, match="the request was taken") as raised:
            ask(path="x", **ONCE)
        assert raised.value.code == "OUTCOME_UNKNOWN"
        with pytest.raises(BusinessError):
            ask(path="x", **AGAIN)


class TestStep:
    @pytest.mark.parametrize("request_", [ONCE, AGAIN, {**ONCE, "idempotent": True}])
    def test_that_was_cut_off_is_done_again_only_where_that_does_no_harm(
        self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer, request_: dict[str, Any]
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_json(1)
        if request_ is not ONCE:
            assert step(changes={"started_before": True}, path="x", **request_)["http_body"] == 1
            return
        with pytest.raises(PermanentError, match="an earlier run of this step was cut off") as raised:
            step(changes={"started_before": True}, path="x", **request_)
        assert (raised.value.code, httpserver.log) == ("OUTCOME_UNKNOWN", [])

    def test_hands_its_key_to_services_that_refuse_doubles(
        self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/api/x", headers={"Idempotency-Key": "task-1"}).respond_with_json(1)
        names = {"PROCOS_CONNECTIONS__CRM__IDEMPOTENCY_HEADER": "Idempotency-Key"}
        assert step(names, {"started_before": True}, path="x", **ONCE)["http_status"] == 200

    def test_whose_post_was_answered_is_not_sent_again_for_a_store_that_is_away(
        self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer, tmp_path: Path
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data(b"%PDF", content_type="application/pdf")
        (tmp_path / "file").touch()
        names = {"PROCOS_BLOBS_URL": (tmp_path / "file").as_uri()}
        with pytest.raises(PermanentError, match="answered with status 200, and that could not be kept"):
            step(names, path="x", **ONCE)
        with pytest.raises(BlobsUnreachableError):
            step(names, path="x")

    @pytest.mark.parametrize(
        ("names", "why"),
        [({"PROCOS_BLOBS_URL": ""}, "BLOBS_UNSET"), ({"PROCOS_BLOBS_LARGEST": "4096"}, "BLOB_TOO_LARGE")],
    )
    def test_whose_post_was_answered_is_not_sent_again_for_a_store_that_takes_no_answer(
        self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer, names: dict[str, str], why: str
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data(b"%PDF" * 2000, content_type="application/pdf")
        with pytest.raises(PermanentError, match="answered with status 200, and that could not be kept") as raised:
            step(names, path="x", **ONCE)
        assert raised.value.code == "OUTCOME_UNKNOWN"
        with pytest.raises(PermanentError) as raised:
            step(names, path="x")
        assert raised.value.code == why

    def test_reveals_the_secrets_its_model_names(
        self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_json(1)
        text = '{"X-Key": "{{secrets.CRM_TOKEN}}"}'
        names = {
            "PROCOS_SECRETS__CRM_TOKEN": 'ge"heim',
            "PROCOS_SECRETS_ALLOWED": '{"http_request": ["CRM_TOKEN"]}',
        }
        step(names, {"constants": {"headers": text, "body": text}}, path="x", headers=text, body=text, method="POST")
        sent = httpserver.log[-1][0]
        assert (sent.headers["X-Key"], sent.get_json()) == ('ge"heim', {"X-Key": 'ge"heim'})

    def test_leaves_a_users_text_alone(self, step: Callable[..., dict[str, Any]], httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/x").respond_with_json(1)
        step(path="x", method="POST", body={"text": "{{secrets.CRM_TOKEN}}"})
        assert httpserver.log[-1][0].get_json() == {"text": "{{secrets.CRM_TOKEN}}"}


class TestHealth:
    @pytest.mark.parametrize(("path", "word"), WORDS)
    def test_is_a_cheap_look(
        self, connected: Callable[..., Http], httpserver: HTTPServer, path: str | None, word: str
    ) -> None:
        httpserver.expect_request("/api/health").respond_with_data("ok")
        httpserver.expect_request("/api/broken").respond_with_data("", status=500)
        health = connected(health_path=path).health_check()
        assert health.is_well is (path in {None, "health"})
        assert f"http://localhost:{httpserver.port}" in health.detail
        assert word in health.detail

    def test_of_what_is_not_there_says_so(self) -> None:
        health = Http(HttpConnection(url="http://127.0.0.1:9", allowed_addresses=["127.0.0.1"])).health_check()
        assert (health.is_well, health.detail.endswith("no connection")) == (False, True)


class TestOthers:
    def test_post_to_a_webhook_by_its_connection_alone(
        self, context_with: Callable[..., TaskContext], httpserver: HTTPServer
    ) -> None:
        httpserver.expect_request("/hooks/T0/abcdef", method="POST", json={"text": "done"}).respond_with_data("ok")
        names = {
            "PROCOS_CONNECTIONS__HOOK__TYPE": "http",
            "PROCOS_CONNECTIONS__HOOK__URL": httpserver.url_for("/hooks/T0/abcdef"),
            "PROCOS_CONNECTIONS__HOOK__ALLOWED_ADDRESSES": "127.0.0.1",
        }
        context = context_with(load_settings(names, dotenv=None))
        found = called(service("hook", context), "request", {"method": "POST", "body": {"text": "done"}}, context)
        assert found["body"] == "ok"
