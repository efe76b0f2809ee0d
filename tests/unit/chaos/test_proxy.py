"""The fault proxy, between a server and a client on loopback."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.chaos.moments import Moment
from tests.chaos.proxy import HOST, FaultProxy
from tests.chaos.traffic import Act, Chunk, Direction, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.proxy import Link

SECONDS = 2.0


class Echo:
    """A server that gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            while words := connection.recv(4096):
                self.heard += words
                connection.sendall(words)
        except OSError:
            return

    def hang_up(self) -> None:
        """End the connection there is."""
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SECONDS)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    proxy = FaultProxy()
    yield proxy.link("echo", echo.port)
    proxy.close()


def client_of(link: Link) -> socket.socket:
    return socket.create_connection((HOST, link.port), timeout=SECONDS)


def asked(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(4096)


class Always:
    """A rule with one verdict for all that goes to the service."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    def judge(self, chunk: Chunk) -> Verdict:
        return self._verdict if chunk.direction is Direction.TO_SERVICE else Verdict(act=Act.FORWARD)


class TestLink:
    def test_passes_bytes_both_ways(self, link: Link) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"

    def test_takes_no_connection_while_it_refuses(self, link: Link) -> None:
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            client_of(link)

    def test_takes_connections_on_the_same_port_again(self, link: Link) -> None:
        port = link.port
        link.refuse()
        link.accept()
        with closing(client_of(link)) as client:
            assert asked(client, b"back") == b"back"
        assert link.port == port

    def test_ends_the_connections_there_are_when_it_refuses(self, link: Link) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.refuse()
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    def test_resets_what_is_connected_and_takes_new_connections(self, link: Link) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.reset()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with closing(client_of(link)) as another:
            assert asked(another, b"again") == b"again"

    def test_lets_nothing_through_while_frozen_and_everything_after(self, link: Link) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.freeze()
            client.sendall(b"late")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            link.freeze(frozen=False)
            client.settimeout(SECONDS)
            assert client.recv(4096) == b"late"

    def test_lets_nothing_to_the_client_while_that_direction_is_frozen(self, link: Link, echo: Echo) -> None:
        with closing(client_of(link)) as client:
            link.freeze(direction=Direction.TO_CLIENT)
            client.sendall(b"heard")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert echo.heard == b"heard"
            link.freeze(direction=Direction.TO_CLIENT, frozen=False)
            client.settimeout(SECONDS)
            assert client.recv(4096) == b"heard"

    def test_lets_nothing_to_the_service_while_that_direction_is_frozen(self, link: Link, echo: Echo) -> None:
        with closing(client_of(link)) as client:
            link.freeze(direction=Direction.TO_SERVICE)
            client.sendall(b"late")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert echo.heard == b""
            link.freeze(direction=Direction.TO_SERVICE, frozen=False)
            client.settimeout(SECONDS)
            assert client.recv(4096) == b"late"

    def test_tells_a_frozen_client_of_no_end_before_it_flows_again(self, link: Link, echo: Echo) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.freeze()
            echo.hang_up()
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            link.freeze(frozen=False)
            client.settimeout(SECONDS)
            assert client.recv(1) == b""

    def test_never_tells_a_client_that_it_is_forsaken(self, link: Link, echo: Echo) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.forsake()
            client.sendall(b"anybody?")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert echo.heard == b"hello"

    def test_serves_new_connections_when_it_has_forsaken_the_old(self, link: Link) -> None:
        with closing(client_of(link)) as client:
            assert asked(client, b"hello") == b"hello"
            link.forsake()
            with closing(client_of(link)) as another:
                assert asked(another, b"again") == b"again"

    def test_leads_elsewhere_when_told(self, link: Link) -> None:
        other = Echo()
        try:
            link.retarget(other.port)
            with closing(client_of(link)) as client:
                assert asked(client, b"elsewhere") == b"elsewhere"
            assert other.heard == b"elsewhere"
        finally:
            other.close()

    def test_resets_a_client_whose_service_is_gone(self, link: Link, echo: Echo) -> None:
        with closing(socket.create_server((HOST, 0))) as taken:
            nobody: int = taken.getsockname()[1]
        link.retarget(nobody)
        with pytest.raises(ConnectionResetError), closing(client_of(link)) as client:
            client.recv(1)
        assert echo.heard == b""


class TestRule:
    def test_that_answers_keeps_the_words_from_the_service(self, link: Link, echo: Echo) -> None:
        link.watch(Always(Verdict(act=Act.ANSWER, content=b"not now")))
        with closing(client_of(link)) as client:
            assert asked(client, b"please") == b"not now"
            assert client.recv(1) == b""
        assert echo.heard == b""

    def test_that_rewrites_forwards_its_own_words(self, link: Link, echo: Echo) -> None:
        link.watch(Always(Verdict(act=Act.REWRITE, content=b"later")))
        with closing(client_of(link)) as client:
            assert asked(client, b"please") == b"later"
        assert echo.heard == b"later"

    def test_that_delays_keeps_the_order(self, link: Link) -> None:
        link.watch(Always(Verdict(act=Act.DELAY, seconds=0.05)))
        with closing(client_of(link)) as client:
            client.sendall(b"first ")
            assert asked(client, b"second").startswith(b"first ")

    def test_that_resets_ends_the_connection_before_the_words_arrive(self, link: Link, echo: Echo) -> None:
        link.watch(Always(Verdict(act=Act.RESET)))
        with closing(client_of(link)) as client, pytest.raises(ConnectionResetError):
            asked(client, b"please")
        assert echo.heard == b""

    def test_that_rewrites_is_heard_by_the_next_rule(self, link: Link) -> None:
        link.always(Always(Verdict(act=Act.REWRITE, content=b"now")))
        moment = Moment(re.compile(b"now"), Direction.TO_SERVICE, lambda: None)
        link.watch(moment)
        with closing(client_of(link)) as client:
            client.sendall(b"later")
            assert moment.struck.wait(SECONDS)

    def test_that_stands_outlasts_those_that_are_watched(self, link: Link) -> None:
        link.always(Always(Verdict(act=Act.REWRITE, content=b"always")))
        link.watch(Always(Verdict(act=Act.FORWARD)))
        link.watch()
        with closing(client_of(link)) as client:
            assert asked(client, b"please") == b"always"

    def test_that_delays_keeps_what_another_wrote(self, link: Link) -> None:
        link.always(Always(Verdict(act=Act.REWRITE, content=b"other")))
        link.watch(Always(Verdict(act=Act.DELAY, seconds=0.01)))
        with closing(client_of(link)) as client:
            assert asked(client, b"words") == b"other"


class TestMoment:
    def test_acts_before_the_bytes_are_forwarded_and_swallows_them(self, link: Link, echo: Echo) -> None:
        heard_then: list[bytes] = []
        moment = Moment(re.compile(b"now"), Direction.TO_SERVICE, lambda: heard_then.append(echo.heard))
        link.watch(moment)
        with closing(client_of(link)) as client:
            assert asked(client, b"wait") == b"wait"
            client.sendall(b"now")
            assert moment.struck.wait(SECONDS)
        assert heard_then == [b"wait"]
        assert echo.heard == b"wait"

    def test_is_recognised_across_two_chunks(self, link: Link) -> None:
        struck: list[bool] = []
        link.watch(Moment(re.compile(b"now"), Direction.TO_SERVICE, lambda: struck.append(True)))
        with closing(client_of(link)) as client:
            assert asked(client, b"n") == b"n"
            client.sendall(b"ow")
            client.shutdown(socket.SHUT_WR)
            client.recv(1)
        assert struck == [True]

    def test_strikes_once(self, link: Link) -> None:
        struck: list[bool] = []
        link.watch(Moment(re.compile(b"now"), Direction.TO_SERVICE, lambda: struck.append(True)))
        with closing(client_of(link)) as client:
            client.sendall(b"now")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        with closing(client_of(link)) as client:
            assert asked(client, b"now") == b"now"
        assert struck == [True]

    def test_looks_one_way_only(self, link: Link) -> None:
        struck: list[bool] = []
        link.watch(Moment(re.compile(b"now"), Direction.TO_CLIENT, lambda: struck.append(True)))
        with closing(client_of(link)) as client:
            client.sendall(b"now")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert struck == [True]
