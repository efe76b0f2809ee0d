"""How libcurl is made to call a server: once, as we write it, within limits, and over which connection."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from procos.engine.answers import HttpAnswer, NoAnswerError
from procos.engine.connections import Connections
from procos.engine.handles import Certificates, Handle, Request
from tests.services import wait_until
from tests.unit.engine.raw_server import raw_server

if TYPE_CHECKING:
    from pathlib import Path

    from procos.engine.downloads import Download
    from tests.unit.engine.conftest import Site

EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"

FORKED = """
import os, sys
from procos.engine.connections import Connections
connections = Connections(sys.argv[1], timeout=5.0)
connections.call("GET", "/of-the-parent", headers={})
child = os.fork()
connections.call("GET", "/of-the-child" if child == 0 else "/of-the-parent", headers={})
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


class TooLate(Exception):  # noqa: N818  # an exception as Celery's time limit raises it
    """What a signal's handler raises."""


def kept(connections: Connections) -> list[Handle | Download]:
    return [*connections._kept.handles, *connections._kept.downloads]


class CalledElsewhere(Connections):
    """Connections that are called on another thread than the main one."""

    def call(self, *request: Any, **more: Any) -> HttpAnswer:
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(super().call, *request, **more).result()


@pytest.fixture(params=["main thread", "another thread"])
def caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connections of a test called on this thread: libcurl is driven otherwise on the main one."""
    if request.param == "another thread":
        monkeypatch.setattr(sys.modules[__name__], "Connections", CalledElsewhere)


@pytest.fixture
def connections(site: Site) -> Connections:
    return Connections(site.address, timeout=5.0)


@pytest.mark.usefixtures("caller")
class TestRequest:
    def test_says_what_we_say_and_little_more(self, connections: Connections, site: Site) -> None:
        connections.call("POST", "/", body=b"{}", headers={"Content-Type": "application/json", "Accept": "*/*"})
        _, _, headers, body = site.requests[0]
        assert body == b"{}"
        assert headers.pop("User-Agent").startswith("procos/")
        assert headers == {
            "Host": site.address.split("/")[2],
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Content-Length": "2",
        }

    def test_travels_to_the_target_as_it_is_written(self, connections: Connections, site: Site) -> None:
        connections.call("GET", "/a/../b%2Fc/./d?x=%20&y=../z", headers={})
        assert site.requests[0][1] == "/a/../b%2Fc/./d?x=%20&y=../z"

    def test_travels_to_an_address_that_is_not_ascii(self, site: Site) -> None:
        connections = Connections(site.address.replace("/engine-rest", "/märz 1/a%20b"), timeout=5.0)
        connections.call("GET", connections.path, headers={})
        assert site.requests[0][1] == "/m%C3%A4rz%201/a%20b"

    @pytest.mark.parametrize(
        ("method", "body", "length"),
        [
            ("GET", None, None),
            ("DELETE", None, None),
            ("PUT", b"\0\xff", "2"),
            ("POST", b"", "0"),
            ("POST", None, "0"),
            ("POST", b"x" * 3_000_000, "3000000"),
        ],
        ids=["GET", "DELETE", "PUT", "POST of nothing", "POST without a body", "POST of megabytes"],
    )
    def test_has_its_method_and_body_whatever_the_connection_was_used_for_before(
        self, connections: Connections, site: Site, method: str, body: bytes | None, length: str | None
    ) -> None:
        connections.call("PUT", "/before", body=b"before", headers={})
        connections.call("GET", "/before", headers={})
        connections.call(method, "/", body=body, headers={})
        sent, _, headers, received = site.requests[-1]
        assert (sent, received, headers.get("Content-Length")) == (method, body or b"", length)
        assert "Expect" not in headers
        assert site.connections == 1

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_is_sent_once_though_its_connection_ends_before_an_answer(self, method: str) -> None:
        received: list[bytes] = []

        def answer_the_first(client: socket.socket) -> None:
            while request := client.recv(65536):
                received.append(request)
                if len(received) > 1:
                    return
                client.sendall(EMPTY)

        with raw_server(answer_the_first) as address:
            connections = Connections(address, timeout=5.0)
            connections.call(method, "/first", body=b"{}", headers={})
            with pytest.raises(NoAnswerError, match="connection lost"):
                connections.call(method, "/second", body=b"{}", headers={})
        assert [request.split()[1] for request in received] == [b"/first", b"/second"]

    def test_goes_over_a_new_connection_where_the_server_has_closed_the_old_one(self) -> None:
        closed = threading.Semaphore(0)

        def answer_and_close(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(EMPTY)
            client.close()
            closed.release()

        with raw_server(answer_and_close) as address:
            connections = Connections(address, timeout=5.0)
            for _ in range(3):
                assert connections.call("POST", "/", body=b"{}", headers={}).status == 204
                assert closed.acquire(timeout=5)

    def test_is_not_answered_by_what_came_twice_for_the_one_before(self) -> None:
        sent = threading.Semaphore(0)

        def answer_twice(client: socket.socket) -> None:
            while b"/first" in client.recv(65536):
                client.sendall(EMPTY)
                client.sendall(EMPTY)
                sent.release()
            client.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

        with raw_server(answer_twice) as address:
            connections = Connections(address, timeout=5.0)
            assert connections.call("POST", "/first", body=b"{}", headers={}).status == 204
            assert sent.acquire(timeout=5)
            wait_until(lambda: all(each.is_over() for each in kept(connections)), 5, what="the second has come")
            assert connections.call("POST", "/second", body=b"{}", headers={}).status == 503

    def test_shows_nothing_of_the_users_own(self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("http_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        site.headers = {"Set-Cookie": "who=me"}
        connections = Connections(site.address, timeout=5.0)
        for _ in range(2):
            connections.call("GET", "/", headers={})
        assert not {"Authorization", "Cookie"}.intersection(*(headers for _, _, headers, _ in site.requests))

    def test_leaves_the_addresses_password_out(self, site: Site) -> None:
        connections = Connections(site.address.replace("//", "//me:hunter2@"), timeout=5.0)
        connections.call("GET", "/", headers={})
        assert "Authorization" not in site.requests[0][2]


@pytest.mark.usefixtures("caller")
class TestAnswer:
    def test_is_found_by_a_headers_name_in_any_case(self, connections: Connections, site: Site) -> None:
        site.headers = {"X-ProcOS": "bulk"}
        answer = connections.call("GET", "/", headers={})
        assert (answer.headers.get("x-procos"), answer.headers.get("X-PROCOS"), answer.headers.get("x-proc")) == (
            "bulk",
            "bulk",
            None,
        )

    def test_joins_what_stands_under_one_name_and_forgets_interim_answers(self) -> None:
        def answer(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Said: early\r\n\r\n")
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Said: one\r\nContent-Length: 2\r\nx-said:two\r\n\r\n{}")

        with raw_server(answer) as address:
            said = Connections(address, timeout=5.0).call("GET", "/", headers={})
        assert (said.status, said.headers.get("X-Said"), said.data) == (200, "one, two", b"{}")

    def test_is_no_larger_than_we_can_hold(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("procos.engine.handles.LARGEST_ANSWER", 1000)
        site.body = b"x" * 1001
        with pytest.raises(NoAnswerError, match="too large"):
            Connections(site.address, timeout=5.0).call("GET", "/", headers={})

    def test_of_a_length_nobody_told_is_no_larger_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("procos.engine.handles.LARGEST_ANSWER", 1000)

        def never_end(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                client.sendall(b"x" * 65536)

        with raw_server(never_end) as address, pytest.raises(NoAnswerError, match="too large"):
            Connections(address, timeout=5.0).call("GET", "/", headers={})

    @pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
    def test_that_is_none_or_breaks_off_is_a_lost_connection(self, said: bytes) -> None:
        def say(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(said)

        with raw_server(say) as address, pytest.raises(NoAnswerError, match="connection lost"):
            Connections(address, timeout=5.0).call("GET", "/", headers={})


@pytest.mark.usefixtures("caller")
class TestLimit:
    def test_is_for_the_whole_answer_however_often_something_of_it_comes(self) -> None:
        given_up = threading.Event()

        def drip(client: socket.socket) -> None:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not given_up.wait(0.01):
                client.sendall(b"x")

        with raw_server(drip) as address, pytest.raises(NoAnswerError, match="no answer in time"):
            Connections(address, timeout=0.2).call("GET", "/", headers={})
        given_up.set()

    def test_is_told_apart_where_not_even_the_connection_stood(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"https://127.0.0.1:{silent.getsockname()[1]}"
            connections = Connections(address, timeout=0.05, certificates=Certificates())
            with pytest.raises(NoAnswerError, match=r"no connection within 0.05 s"):
                connections.call("GET", "/", headers={})


class TestSignal:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, TooLate], ids=["ctrl-c", "time-limit"])
    def test_ends_a_call(self, site: Site, error: type[BaseException]) -> None:
        def stop(*_: object) -> None:
            raise error

        done, connections = threading.Event(), Connections(site.address, timeout=5.0)
        before = signal.signal(signal.SIGUSR1, stop)

        def interrupt(*_: object) -> tuple[int, bytes]:
            os.kill(os.getpid(), signal.SIGUSR1)
            done.wait(5)
            return 200, b""

        site.script = interrupt
        with pytest.raises(error):
            connections.call("GET", "/", headers={})
        done.set()
        signal.signal(signal.SIGUSR1, before)
        site.script = None
        assert connections.call("GET", "/", headers={}).status == 200


class TestConnection:
    def test_is_kept_for_whoever_calls_next(self, connections: Connections, site: Site) -> None:
        for _ in range(3):
            caller = threading.Thread(target=connections.call, args=("GET", "/"), kwargs={"headers": {}})
            caller.start()
            caller.join(5)
        assert (len(site.requests), site.connections) == (3, 1)

    def test_ends_with_those_who_held_it(self) -> None:
        ended = threading.Event()

        def answer_until_the_end(client: socket.socket) -> None:
            while client.recv(65536):
                client.sendall(EMPTY)
            ended.set()

        with raw_server(answer_until_the_end) as address:
            connections = Connections(address, timeout=5.0)
            connections.call("GET", "/", headers={})
            del connections
            assert ended.wait(5)


class TestProcess:
    def test_that_was_forked_uses_no_connection_of_its_parent(self, site: Site) -> None:
        subprocess.run([sys.executable, "-c", FORKED, site.address], check=True, timeout=30)
        assert sorted(path for _, path, _, _ in site.requests) == ["/of-the-child", "/of-the-parent", "/of-the-parent"]
        assert site.connections == 2


@pytest.mark.usefixtures("caller")
class TestReason:
    def test_holds_nothing_of_what_lets_us_in(self) -> None:
        connections = Connections("http://127.0.0.1:9", timeout=5.0)
        with pytest.raises(NoAnswerError, match="connection refused") as raised:
            connections.call("POST", "/?key=hunter2", body=b"hunter2", headers={"Authorization": "Bearer hunter2"})
        assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r}"

    def test_shows_none_of_it_where_a_traceback_shows_values(self) -> None:
        shown = {"Authorization": "Bearer hunter2"}
        request = Request(method="POST", url="/", headers=shown, body=b"hunter2", limit=1.0)
        certificates = Certificates(authorities=b"hunter2", certificate=b"hunter2", key=b"hunter2")
        assert "hunter2" not in f"{request!r} {certificates!r}"

    @pytest.mark.parametrize("name", ["nobody.invalid", "nobody-bücher.invalid", "..ü.invalid"])
    def test_of_a_name_nobody_knows_says_so(self, name: str) -> None:
        with pytest.raises(NoAnswerError, match="unknown host name"):
            Connections(f"http://{name}", timeout=5.0).call("GET", "/", headers={})
