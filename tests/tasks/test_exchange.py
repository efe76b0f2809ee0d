"""One exchange over HTTP: what is known of a request whose answer did not come, and every bound there is."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import PermanentError
from tasks.adapters.exchange import AnswerLostError, NothingSentError, Request, Way, exchange
from tests.raw_service import HEAD, RawService, full_port, named, raw_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer


@pytest.fixture
def service() -> Iterator[RawService]:
    with raw_service() as found:
        yield found


def way(*, seconds: float = 4.0, connect_seconds: float = 2.0, largest: int = 1000, **more: str) -> Way:
    deadline = time.monotonic() + seconds
    return Way(deadline=deadline, connect_seconds=connect_seconds, largest_answer=largest, **more)


def post(url: str, over: Way | None = None, **headers: str) -> bytes:
    request = Request(method="POST", url=url, headers=headers, body=b"{}")
    return exchange(request, over or way()).body


class TestExchange:
    def test_gives_whatever_comes(self, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/a b", query_string="c=d").respond_with_data("no", status=418, headers={"X-Y": "z"})
        answer = exchange(Request(method="GET", url=httpserver.url_for("/a%20b?c=d"), headers={}), way())
        assert (answer.status, answer.body, answer.headers["x-y"]) == (418, b"no", "z")

    def test_follows_no_redirect(self, httpserver: HTTPServer) -> None:
        httpserver.expect_request("/").respond_with_data("", status=302, headers={"Location": "http://127.0.0.1:9/"})
        assert exchange(Request(method="GET", url=httpserver.url_for("/"), headers={}), way()).status == 302

    def test_asks_a_proxy_for_plain_http(self, service: RawService) -> None:
        service.says = HEAD + b"Content-Length: 2\r\n\r\n{}"
        over = way(proxy=f"http://user:pass%21@127.0.0.1:{service.port}")
        assert post("http://127.0.0.1:9/x", over) == b"{}"
        assert service.requests[0].startswith(b"POST http://127.0.0.1:9/x HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNzIQ==" in service.requests[0]

    def test_asks_a_proxy_for_a_tunnel_before_it_says_anything(self, service: RawService) -> None:
        service.says = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        with pytest.raises(NothingSentError, match=r"the proxy refuses it: HTTP 407"):
            post("https://slack.test/x", way(proxy=f"http://127.0.0.1:{service.port}"), Authorization="secret-token")
        assert service.requests[0].startswith(b"CONNECT slack.test:443 HTTP/1.")
        assert b"secret-token" not in service.requests[0]

    def test_shares_its_time_between_the_addresses_of_a_name(
        self, service: RawService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service.says = HEAD + b"Content-Length: 2\r\n\r\n{}"
        with full_port() as full:
            named(monkeypatch, full, full, full, service.port)
            assert post("http://several.test/", way(seconds=1.4, connect_seconds=0.5)) == b"{}"


class TestNothingSent:
    def test_where_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(NothingSentError, match=r"no connection \(Connection refused\)"):
            post(f"http://127.0.0.1:{port}/")

    def test_where_the_other_side_speaks_no_tls(self, service: RawService) -> None:
        service.says = HEAD
        with pytest.raises(NothingSentError, match="no connection"):
            post(f"https://127.0.0.1:{service.port}/")

    def test_where_no_time_is_left(self, service: RawService) -> None:
        with pytest.raises(NothingSentError, match="no time is left"):
            post(service.url, way(seconds=-1.0))
        assert service.requests == []

    def test_where_a_proxy_never_comes_to_an_end(self, service: RawService) -> None:
        service.says, service.drips = b"HTTP/1.1 200 OK\r\n", b"X" * 256
        over = way(connect_seconds=0.2, proxy=f"http://127.0.0.1:{service.port}")
        with pytest.raises(NothingSentError, match=r"no connection \(timed out\)"):
            post("https://slack.test/x", over)

    def test_where_an_address_would_become_two(self, service: RawService) -> None:
        with pytest.raises(NothingSentError, match="the address has a character that cannot be sent"):
            post(f"{service.url}/a b")
        assert service.requests == []


class TestConnectionInvalid:
    @pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a\nb", "tökén", "a\0b"])
    def test_where_a_header_would_become_two(self, service: RawService, token: str) -> None:
        with pytest.raises(PermanentError, match="a character that cannot be sent") as raised:
            post(service.url, Authorization=token)
        assert raised.value.code == "CONNECTION_INVALID"
        assert service.requests == []

    @pytest.mark.parametrize(
        ("name", "why"), [("gone.pem", "No such file"), ("none.pem", "NO_CERTIFICATE"), ("", "directory")]
    )
    def test_where_a_file_of_authorities_is_none(
        self, service: RawService, tmp_path: Path, name: str, why: str
    ) -> None:
        (tmp_path / "none.pem").write_text("not a certificate")
        with pytest.raises(PermanentError, match=rf"ca_file .* of a connection cannot be used: .*{why}") as raised:
            post(f"https://127.0.0.1:{service.port}/", way(ca_file=str(tmp_path / name)))
        assert raised.value.code == "CONNECTION_INVALID"
        assert service.requests == []


class TestAnswerLost:
    @pytest.mark.parametrize(
        "says",
        [
            pytest.param(b"", id="hangs-up"),
            pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another-protocol"),
            pytest.param(HEAD + b"Content-Length: 10\r\n\r\n{}", id="cut-short"),
            pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}", id="cut-in-a-chunk"),
            pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", id="no-chunk"),
            pytest.param(HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", id="endless-header"),
            pytest.param(HEAD + b"X: y\r\n" * 200 + b"\r\n", id="too-many-headers"),
        ],
    )
    def test_where_it_breaks_off(self, service: RawService, says: bytes) -> None:
        service.says = says
        with pytest.raises(AnswerLostError, match="the answer broke off"):
            post(service.url)
        assert len(service.requests) == 1

    def test_where_it_is_too_large(self, service: RawService) -> None:
        service.says = HEAD + b"\r\n" + b"x" * 2000
        with pytest.raises(AnswerLostError, match="more than 1000 bytes"):
            post(service.url)

    def test_where_it_never_comes(self, service: RawService) -> None:
        service.is_silent = True
        with pytest.raises(AnswerLostError, match="did not answer in time"):
            post(service.url, way(seconds=0.1))

    @pytest.mark.parametrize(
        ("says", "drips"),
        [
            pytest.param(b"HTTP/1.1 200 OK\r\n", b"X", id="in-a-header"),
            pytest.param(HEAD + b"\r\n", b" ", id="in-a-body-without-length"),
            pytest.param(HEAD + b"Content-Length: 900\r\n\r\n", b" ", id="in-a-body"),
        ],
    )
    def test_where_it_comes_a_byte_at_a_time(self, service: RawService, says: bytes, drips: bytes) -> None:
        service.says, service.drips = says, drips
        with pytest.raises(AnswerLostError, match="did not answer in time"):
            post(service.url, way(seconds=0.2, largest=1 << 20))
