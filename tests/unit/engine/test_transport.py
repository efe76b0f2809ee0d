"""What the network may answer, and the error each becomes."""

from __future__ import annotations

import base64
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import (
    EngineBusyError,
    EngineDeniedError,
    EngineMisconfiguredError,
    EngineUnreachableError,
    TaskGoneError,
)
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site


def transport(url: str, **options: Any) -> Transport:
    return Transport(EngineSettings(url=url, **options))


class TestConnection:
    def test_is_kept_between_calls(self, site: Site) -> None:
        transport = Transport(EngineSettings(url=site.address))
        transport.get("/version")
        transport.get("/version")
        assert site.connections == 1

    def test_is_not_used_again_after_another_had_no_answer(self, site: Site) -> None:
        transport = Transport(EngineSettings(url=site.address, timeout=0.1))
        together = threading.Barrier(2)
        site.script = lambda *_: (200, b"%d" % together.wait(5))
        with ThreadPoolExecutor(2) as both:
            list(both.map(transport.get, ["/version"] * 2))
        site.script, site.hang = None, threading.Event()
        with pytest.raises(EngineUnreachableError):
            transport.get("/version")
        site.hang = None
        transport.get("/version")
        assert site.connections == 4  # of two threads, of this one, and a fresh one


class TestTransport:
    def test_returns_the_json_of_an_answer(self, site: Site) -> None:
        site.body = b'[{"name": "default"}]'
        assert transport(site.address).get("/engine", {"a": "b"}) == [{"name": "default"}]
        assert site.requests[0][:2] == ("GET", "/engine-rest/engine?a=b")

    def test_returns_none_for_an_empty_answer(self, site: Site) -> None:
        site.status, site.body = 204, b""
        assert transport(site.address).post("/external-task/t/complete", {"workerId": "w"}) is None
        assert json.loads(site.requests[0][3]) == {"workerId": "w"}

    def test_logs_in_with_user_and_password(self, site: Site) -> None:
        transport(site.address, user="u", password="p").get("/version")
        assert site.requests[0][2]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()

    def test_logs_in_with_a_token(self, site: Site) -> None:
        transport(site.address, token="t").get("/version")
        assert site.requests[0][2]["Authorization"] == "Bearer t"

    def test_ignores_the_proxies_of_the_environment(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert transport(site.address).get("/version") == {}

    def test_reads_the_engines_own_error(self, site: Site) -> None:
        site.status = 404
        site.body = b'{"type":"RestException","message":"External task with id t does not exist","code":null}'
        with pytest.raises(TaskGoneError):
            transport(site.address).get("/external-task/t")

    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (200, b"<html>Welcome</html>", EngineMisconfiguredError),
            (200, b"", EngineMisconfiguredError),
            (404, b"<html>Not found</html>", EngineMisconfiguredError),
            (401, b"", EngineDeniedError),
            (403, b"<html>Forbidden</html>", EngineDeniedError),
            (502, b"<html>Bad gateway</html>", EngineBusyError),
            (503, b"[]", EngineBusyError),
        ],
    )
    def test_classifies_what_is_not_the_engines(self, site: Site, status: int, body: bytes, expected: type) -> None:
        site.status, site.body = status, body
        with pytest.raises(expected, match=r"PROCOS_ENGINE_|answered"):
            transport(site.address).get("/version")

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_follows_no_redirect(self, site: Site, status: int) -> None:
        site.status, site.headers = status, {"Location": "/login"}
        with pytest.raises(EngineMisconfiguredError, match=str(status)):
            transport(site.address).get("/version")
        assert len(site.requests) == 1

    def test_says_that_nobody_listens(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(EngineUnreachableError, match=r"connection refused.*procos up"):
            transport(f"http://127.0.0.1:{port}/engine-rest").get("/version")

    def test_says_that_no_answer_came(self, site: Site) -> None:
        site.hang = threading.Event()
        with pytest.raises(EngineUnreachableError, match="no answer in time"):
            transport(site.address, timeout=0.05).get("/version")
        site.hang.set()

    def test_says_that_the_connection_broke(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def hang_up() -> None:
                server.accept()[0].close()

            threading.Thread(target=hang_up, daemon=True).start()
            with pytest.raises(EngineUnreachableError, match="connection lost"):
                transport(f"http://127.0.0.1:{server.getsockname()[1]}/engine-rest").get("/version")

    def test_waits_longer_for_a_long_poll(self, site: Site) -> None:
        site.hang = threading.Event()
        threading.Timer(0.15, site.hang.set).start()
        assert transport(site.address, timeout=0.05).post("/external-task/fetchAndLock", {}, wait=3.0) == {}
