"""What http_request sends and what it returns, against a service that answers for real."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug import Request, Response

from procos.blobs import blob_store
from procos.blobs.reference import BlobReference
from procos.domain.errors import BusinessError, PermanentError
from procos.settings import load_settings
from tasks.adapters.http.connection import HttpConnection
from tasks.blobs import StepBlobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_httpserver import HTTPServer

    from tasks.adapters.http.adapter import Http

    Ask = Callable[..., Any]


def echo(request: Request) -> Response:
    """Say what came."""
    seen = {
        "method": request.method,
        "path": request.full_path,
        "headers": dict(request.headers),
        "body": request.get_data(as_text=True),
        "form": request.form.to_dict(flat=False),
    }
    return Response(json.dumps(seen), content_type="application/json")


@pytest.fixture(autouse=True)
def echoing(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/echo").respond_with_handler(echo)
    httpserver.expect_request("/api/a b/c").respond_with_handler(echo)


class TestRequest:
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "post"])
    def test_has_any_method(self, ask: Ask, method: str) -> None:
        assert ask(path="echo", method=method)["body"]["method"] == method.upper()

    def test_of_head_has_no_body(self, ask: Ask) -> None:
        found = ask(path="echo", method="HEAD")
        assert (found["status"], found["body"]) == (200, None)

    def test_quotes_parameters_for_their_place(self, ask: Ask) -> None:
        found = ask(path="/{a}/c", path_parameters={"a": "a b"}, query={"q": ["x&y=1", 2, True], "none": None})
        assert found["body"]["path"] == "/api/a b/c?q=x%26y%3D1&q=2&q=true"

    def test_has_headers_of_connection_and_step(self, ask: Ask) -> None:
        found = ask({"headers": {"X-A": "1", "X-B": "1"}}, path="echo", headers='{"x-b": "2", "X-C": "ä"}')
        sent = found["body"]["headers"]
        assert (sent["X-A"], sent["X-B"], sent["X-C"].encode("latin-1").decode()) == ("1", "2", "ä")
        assert sent["User-Agent"].startswith("ProcOS/")

    def test_names_the_port_of_its_host(self, ask: Ask, httpserver: HTTPServer) -> None:
        assert ask(path="echo")["body"]["headers"]["Host"] == f"localhost:{httpserver.port}"

    def test_sends_nothing_that_a_request_before_it_was_given(self, ask: Ask, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/login").respond_with_data("1", headers={"Set-Cookie": "session=abcdef"})
        assert ask(path="login")["headers"]["set-cookie"] == "***"
        assert "Cookie" not in ask(path="echo")["body"]["headers"]

    @pytest.mark.parametrize(
        ("given", "content_type", "sent"),
        [
            ({"body": {"a": [1, None, "ä"]}}, "application/json", '{"a":[1,null,"ä"]}'),
            ({"body": '{"a": 1}'}, "application/json", '{"a":1}'),
            ({"body": "a=ä", "body_as": "text"}, "text/plain; charset=utf-8", "a=ä"),
            ({"body": 0}, "application/json", "0"),
            ({"body": "<a/>", "body_as": "text", "headers": {"content-type": "text/xml"}}, "text/xml", "<a/>"),
        ],
    )
    def test_has_a_body(self, ask: Ask, given: dict[str, Any], content_type: str, sent: str) -> None:
        found = ask(path="echo", method="POST", **given)["body"]
        assert (found["headers"]["Content-Type"], found["body"]) == (content_type, sent)

    def test_has_a_form(self, ask: Ask) -> None:
        found = ask(path="echo", method="POST", body={"a": ["1", 2], "b": "ä&=", "c": None}, body_as="form")["body"]
        assert found["form"] == {"a": ["1", "2"], "b": ["ä&="]}

    @pytest.mark.parametrize(
        ("fields", "header", "value"),
        [
            ({"user": "ada", "password": "geheim"}, "Authorization", "Basic YWRhOmdlaGVpbQ=="),
            ({"user": "sk_live_key"}, "Authorization", "Basic c2tfbGl2ZV9rZXk6"),
            ({"token": "abcdef"}, "Authorization", "Bearer abcdef"),
            ({"api_key": "abcdef"}, "X-Api-Key", "abcdef"),
            ({"api_key": "abcdef", "api_key_header": "X-Key"}, "X-Key", "abcdef"),
        ],
    )
    def test_shows_who_we_are(self, ask: Ask, fields: dict[str, str], header: str, value: str) -> None:
        assert ask(fields, path="echo")["body"]["headers"][header] == value

    def test_shows_a_key_in_the_query_and_never_in_the_result(self, ask: Ask) -> None:
        found = ask({"api_key": "abcdef", "api_key_query": "key"}, path="echo", query={"a": 1})
        assert found["body"]["path"] == "/api/echo?a=1&key=abcdef"
        assert "abcdef" not in found["url"]


class TestFiles:
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> StepBlobs:
        settings = load_settings({"PROCOS_BLOBS_URL": tmp_path.as_uri()}, dotenv=None)
        return StepBlobs(settings=settings, process_instance_id="instance-1")

    @pytest.fixture
    def asked(self, connected: Callable[..., Http], blobs: StepBlobs) -> Ask:
        def run(**request: Any) -> Any:
            http = type(connected())(connected()._connection, blobs=blobs)
            return http.call_service("request", request, deadline=time.monotonic() + 4, idempotency_key="step-1")

        return run

    def test_are_sent_as_they_are(self, asked: Ask, blobs: StepBlobs) -> None:
        scan = blobs.put(b"%PDF", media_type="application/pdf", name="scan.pdf").to_json()
        found = asked(path="echo", method="PUT", body=scan)["body"]
        assert (found["body"], found["headers"]["Content-Type"]) == ("%PDF", "application/pdf")
        assert found["headers"]["Content-Length"] == "4"

    def test_are_parts_of_a_form(self, asked: Ask, blobs: StepBlobs, httpserver: HTTPServer) -> None:
        seen: dict[str, Any] = {}

        def handler(request: Request) -> Response:
            seen.update(request.form.to_dict(flat=False))
            seen["files"] = [(n, f.filename, f.content_type, f.read()) for n, f in request.files.items(multi=True)]
            return Response(status=204)

        httpserver.expect_request("/api/upload").respond_with_handler(handler)
        scan = blobs.put(b"\0%PDF", media_type="application/pdf", name="scan.pdf").to_json()
        body = {
            "title": "Ä",
            "pages": [1, 2],
            "scan": scan,
            "note": {"content": "hi", "file_name": 'a".txt', "media_type": "text/plain"},
        }
        found = asked(path="upload", method="POST", body=body, body_as="multipart")
        assert (found["status"], found["body"]) == (204, None)
        assert seen == {
            "title": ["Ä"],
            "pages": ["1", "2"],
            "files": [
                ("scan", "scan.pdf", "application/pdf", b"\0%PDF"),
                ("note", 'a".txt', "text/plain", b"hi"),
            ],
        }

    @pytest.mark.parametrize("form", ["auto", "blob"])
    def test_are_what_binary_answers_become(
        self, asked: Ask, blobs: StepBlobs, httpserver: HTTPServer, form: str
    ) -> None:
        headers = {"Content-Disposition": 'attachment; filename="../scan.pdf"'}
        httpserver.expect_request("/api/scan").respond_with_data(
            b"%PDF\0", content_type="application/pdf", headers=headers
        )
        reference = BlobReference.model_validate(asked(path="scan", response_as=form)["body"])
        assert (reference.name, reference.media_type, reference.size) == ("scan.pdf", "application/pdf", 5)
        assert blobs.read(reference) == b"%PDF\0"

    def test_are_what_large_answers_become(self, asked: Ask, blobs: StepBlobs, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/large").respond_with_data("x" * 5_000_000, content_type="text/csv")
        reference = BlobReference.model_validate(asked(path="large")["body"])
        assert (reference.name, reference.kind, reference.size) == ("large", "text/csv", 5_000_000)
        assert len(blob_store(blobs.settings.blobs).read(reference)) == 5_000_000

    def test_need_a_store(self, ask: Ask, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/scan").respond_with_data(b"%PDF", content_type="application/pdf")
        with pytest.raises(PermanentError) as raised:
            ask(path="scan")
        assert raised.value.code == "BLOBS_UNSET"


class TestAnswer:
    def test_says_all_that_came(self, ask: Ask, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/api/order").respond_with_json({"id": 7}, headers={"X-Rate": "9"})
        found = ask(path="order", query={"secret": "abcdef"})
        assert found["elapsed_ms"] >= 0
        assert found["headers"]["x-rate"] == "9"
        assert {name: found[name] for name in ("status", "reason", "body", "url", "redirects", "attempts")} == {
            "status": 200, "reason": "OK", "body": {"id": 7}, "url": httpserver.url_for("/api/order"),
            "redirects": 0, "attempts": 1,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("content", "content_type", "form", "body"),
        [
            (b'{"a": 1}', "application/hal+json", "auto", {"a": 1}),
            (b'{"a": 1}', "application/octet-stream", "json", {"a": 1}),
            (b'{"a": 1}', "application/json", "text", '{"a": 1}'),
            (b'{"a": 1}', "application/json", "none", None),
            (b"", "application/json", "auto", None),
            ("grün".encode("latin-1"), "text/html; charset=iso-8859-1", "auto", "grün"),
            ("\ufeffgrün".encode(), "text/csv", "auto", "grün"),
            (b"<a/>", "image/svg+xml", "auto", "<a/>"),
        ],
    )
    def test_becomes(
        self, ask: Ask, httpserver: HTTPServer, content: bytes, content_type: str, form: str, body: object
    ) -> None:
        httpserver.expect_request("/api/x").respond_with_data(content, content_type=content_type)
        assert ask(path="x", response_as=form)["body"] == body

    @pytest.mark.parametrize(
        ("coding", "content"),
        [
            ("gzip", gzip.compress(b'"grown"')),
            ("gzip", gzip.compress(b'"gro') + gzip.compress(b'wn"')),
            ("deflate", zlib.compress(b'"grown"')),
            ("deflate", zlib.compress(b'"grown"')[2:-4]),
            ("identity", b'"grown"'),
        ],
    )
    def test_is_unpacked(self, ask: Ask, httpserver: HTTPServer, coding: str, content: bytes) -> None:
        httpserver.expect_request("/api/x").respond_with_data(
            content, content_type="application/json", headers={"Content-Encoding": coding}
        )
        assert ask(path="x")["body"] == "grown"


class TestConnection:
    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"user": "a", "token": "abcdef"}, "user, token are all set; expected one of them"),
            ({"client_id": "a"}, "client_id needs client_secret and token_url beside it"),
            ({"client_key": "a.pem"}, "client_key needs client_certificate beside it"),
            ({"allowed_addresses": "10.0.0.1/99"}, "expected addresses such as 10.1.2.3"),
            ({"headers": {"X-A": "1\r\n"}}, "characters it may not have"),
            ({"token": "abc\ndef"}, "token\n.*a line break or control character, which cannot be sent"),
            ({"api_key": "abc\tdef"}, "api_key\n.*a line break or control character, which cannot be sent"),
            ({"idempotency_header": "a b"}, "expected the name of a header"),
            ({"address": "of no field"}, "Extra inputs are not permitted"),
        ],
    )
    def test_says_what_is_wrong_with_it(self, fields: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            HttpConnection(url="https://crm.example.org", **fields)

    def test_with_a_token_that_cannot_be_sent_is_for_the_operator(self, step: Callable[..., dict[str, Any]]) -> None:
        with pytest.raises(PermanentError, match="token") as raised:
            step({"PROCOS_CONNECTIONS__CRM__TOKEN": "geheim\nis"}, path="echo")
        assert raised.value.code == "CONNECTION_INVALID"
        assert "geheim" not in str(raised.value)

    @pytest.mark.parametrize("url", ["crm.example.org", "https://crm.example.org?a=1", "ftp://crm.example.org"])
    def test_needs_an_address(self, ask: Ask, url: str) -> None:
        with pytest.raises(PermanentError, match="a connection's url") as raised:
            ask({"url": url})
        assert raised.value.code == "CONNECTION_INVALID"

    def test_is_needed_for_a_path(self, connected: Callable[..., Http]) -> None:
        with pytest.raises(BusinessError, match="expected an address, or a connection and a path"):
            type(connected())().call_service("request", {"path": "a"}, deadline=0.0, idempotency_key="k")
