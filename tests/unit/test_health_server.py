from __future__ import annotations

import json
import socket
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from procos import health_server, metrics
from procos.domain.errors import SettingsError
from procos.health_server import VISITORS, Answers, HealthServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOOPBACK = "127.0.0.1"
PREFIX = "PROCOS_BRIDGE_HEALTH_"


class Bridge:
    """What the server asks."""

    def __init__(self) -> None:
        self.late: Mapping[str, str] = {}
        self.findings: Mapping[str, str] = {"engine": "ok", "broker": "ok", "redis": "ok"}

    def answers(self) -> Answers:
        return Answers(late=lambda: self.late, findings=lambda: self.findings, metrics=metrics.exposition)


@contextmanager
def serving(answers: Answers) -> Iterator[int]:
    server = HealthServer(answers, address=LOOPBACK, port=0, prefix=PREFIX)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def port(bridge: Bridge) -> Iterator[int]:
    with serving(bridge.answers()) as port:
        yield port


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, Mapping[str, str], bytes]:
    with closing(HTTPConnection(LOOPBACK, port, timeout=3)) as connection:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def document(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body))


class TestLivez:
    def test_is_fine_while_every_loop_turns(self, port: int) -> None:
        status, _, body = ask(port, "/livez")
        assert (status, document(body)) == (200, {"status": "alive"})

    def test_names_the_loop_that_hangs(self, port: int, bridge: Bridge) -> None:
        bridge.late = {"poller-ai": "no turn for 75 s; expected within 60 s"}
        status, _, body = ask(port, "/livez")
        assert status == 503
        assert document(body)["loops"] == bridge.late

    def test_does_not_care_for_engine_broker_or_redis(self, port: int, bridge: Bridge) -> None:
        bridge.findings = dict.fromkeys(bridge.findings, "cannot be reached")
        assert ask(port, "/livez")[0] == 200


class TestReadyz:
    def test_is_fine_while_every_part_answers(self, port: int) -> None:
        status, headers, body = ask(port, "/readyz?verbose")
        assert status == 200
        assert document(body) == {"status": "ready", "engine": "ok", "broker": "ok", "redis": "ok"}
        assert headers["Content-Type"] == "application/json"

    def test_says_which_part_is_away(self, port: int, bridge: Bridge) -> None:
        bridge.findings = {**bridge.findings, "broker": "cannot be reached. Start it with `procos up`"}
        status, _, body = ask(port, "/readyz")
        assert status == 503
        assert document(body) == {"status": "not ready", **bridge.findings}


class TestMetrics:
    def test_are_what_prometheus_reads(self, port: int) -> None:
        status, headers, body = ask(port, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b"procos_build_info{" in body


class TestServer:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"])
    def test_refuses_what_only_reads_nothing(self, port: int, method: str) -> None:
        status, headers, _ = ask(port, "/livez", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")

    def test_answers_head_without_a_body(self, port: int) -> None:
        status, headers, body = ask(port, "/readyz", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 0

    def test_names_no_version(self, port: int) -> None:
        assert ask(port, "/livez")[1]["Server"] == "procos"

    def test_lists_its_pages_for_people(self, port: int) -> None:
        assert document(ask(port, "/")[2]) == {"pages": ["/livez", "/readyz", "/metrics"]}
        assert ask(port, "/nothing")[0] == 404

    def test_says_in_plain_words_what_is_no_request(self, port: int) -> None:
        with socket.create_connection((LOOPBACK, port), timeout=3) as visitor:
            visitor.sendall(b"<script> no request HTTP/1.1\r\n\r\n")
            answer = visitor.recv(4096)
        assert b"400 Bad request syntax" in answer
        assert b"Content-Type: text/plain" in answer

    def test_answers_500_when_it_cannot_find_out(self, bridge: Bridge) -> None:
        def broken() -> Mapping[str, str]:
            raise ZeroDivisionError

        answers = Answers(late=broken, findings=bridge.answers().findings, metrics=metrics.exposition)
        with serving(answers) as port:
            assert ask(port, "/livez")[0] == 500
            assert ask(port, "/readyz")[0] == 200

    def test_turns_out_who_has_been_there_longest_when_it_is_full(self, port: int) -> None:
        idle = [socket.create_connection((LOOPBACK, port), timeout=3) for _ in range(VISITORS)]
        try:
            assert ask(port, "/livez")[0] == 200
            assert idle[0].recv(1) == b""
        finally:
            for visitor in idle:
                visitor.close()

    def test_hangs_up_on_who_says_nothing(self, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health_server._Visit, "timeout", 0.1)
        with serving(bridge.answers()) as port, socket.create_connection((LOOPBACK, port), timeout=3) as visitor:
            assert visitor.recv(1) == b""

    def test_listens_no_more_once_stopped(self, bridge: Bridge) -> None:
        with serving(bridge.answers()) as port:
            pass
        with pytest.raises(ConnectionRefusedError):
            ask(port, "/livez")


class TestPort:
    def test_that_is_taken_ends_the_start_and_names_the_setting(self, bridge: Bridge, port: int) -> None:
        with pytest.raises(SettingsError, match=f"PROCOS_BRIDGE_HEALTH_PORT.*port {port}"):
            HealthServer(bridge.answers(), address=LOOPBACK, port=port, prefix=PREFIX).start()

    def test_that_nobody_asked_for_may_be_another(self, bridge: Bridge, port: int) -> None:
        server = HealthServer(bridge.answers(), address=LOOPBACK, port=port, prefix=PREFIX, may_move=True)
        other = server.start()
        try:
            assert other != port
            assert ask(other, "/livez")[0] == 200
        finally:
            server.stop()

    @pytest.mark.parametrize("address", ["192.0.2.1", "no such host"])
    def test_at_an_address_of_somebody_else_names_the_setting(self, bridge: Bridge, address: str) -> None:
        with pytest.raises(SettingsError, match="PROCOS_BRIDGE_HEALTH_ADDRESS"):
            HealthServer(bridge.answers(), address=address, port=0, prefix=PREFIX, may_move=True).start()
