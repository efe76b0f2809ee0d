"""Connections to an AI provider: whatever the server does not do, waiting for it ends when there is a reason to."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from typing import TYPE_CHECKING

import httpcore2
import pytest

from tasks.ai.providers import waiting
from tasks.ai.providers.lookout import checked, look
from tasks.ai.providers.waiting import CheckedBackend
from tests.contract.certificates import Authority
from tests.tasks.stubborn_server import says_nothing, stubborn, takes_slowly

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

HERE = "127.0.0.1"
MUCH = bytes(32 * 1024 * 1024)
"""More than the buffers of a connection hold."""
STUCK = 100
"""Looks after which those buffers are full: there is one for each piece that is sent."""
OPEN_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class NobodyWaitsError(Exception):
    """The reason to end a wait."""


def after_looks(number: int) -> Callable[[], None]:
    """Return a check that finds its reason some looks later, and keeps to it."""
    left = iter(range(number))

    def check() -> None:
        if next(left, None) is None:
            raise NobodyWaitsError

    return check


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.005)


@pytest.fixture
def busy_port() -> Iterator[int]:
    """Return a port whose connections nobody accepts, and whose queue is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server((HERE, 0), backlog=0))
        for _ in range(3):
            queued = sockets.enter_context(socket.socket())
            queued.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                queued.connect(listener.getsockname())
        yield listener.getsockname()[1]


class TestConnecting:
    def test_ends_for_a_reason(self, busy_port: int) -> None:
        with checked(after_looks(3)), pytest.raises(NobodyWaitsError):
            CheckedBackend().connect_tcp(HERE, busy_port, timeout=3)

    def test_ends_with_its_time(self, busy_port: int) -> None:
        with pytest.raises(httpcore2.ConnectTimeout):
            CheckedBackend().connect_tcp(HERE, busy_port, timeout=0.05)

    def test_goes_on_to_the_next_address_of_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with stubborn(says_nothing) as port:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (HERE, each)) for each in (9, port)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            CheckedBackend().connect_tcp("a.example", 443, timeout=3).close()

    def test_says_what_the_last_address_said(self) -> None:
        with pytest.raises(httpcore2.ConnectError, match="refused"):
            CheckedBackend().connect_tcp(HERE, 9, timeout=3)


class TestGreeting:
    def test_ends_for_a_reason(self) -> None:
        with stubborn(says_nothing) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with checked(after_looks(3)), pytest.raises(NobodyWaitsError):
                stream.start_tls(OPEN_TLS, HERE, timeout=3)

    def test_ends_with_its_time(self) -> None:
        with stubborn(says_nothing) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with pytest.raises(httpcore2.ConnectTimeout):
                stream.start_tls(OPEN_TLS, HERE, timeout=0.05)

    def test_refuses_a_server_that_nobody_vouches_for(self, server_tls: ssl.SSLContext) -> None:
        with stubborn(greeting(server_tls)) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with pytest.raises(httpcore2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                stream.start_tls(OPEN_TLS, HERE, timeout=3)


class TestSending:
    def test_ends_for_a_reason(self) -> None:
        with stubborn(says_nothing) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with contextlib.closing(stream), checked(after_looks(STUCK)), pytest.raises(NobodyWaitsError):
                stream.write(MUCH, timeout=4)

    def test_ends_with_its_time_however_slowly_the_server_takes_it(self) -> None:
        with stubborn(takes_slowly) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with contextlib.closing(stream), pytest.raises(httpcore2.WriteTimeout):
                stream.write(MUCH, timeout=0.2)


class TestReading:
    def test_ends_for_a_reason(self) -> None:
        with stubborn(says_nothing) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with contextlib.closing(stream), checked(after_looks(3)), pytest.raises(NobodyWaitsError):
                stream.read(1, timeout=3)

    def test_ends_with_its_time(self) -> None:
        with stubborn(says_nothing) as port:
            stream = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            with contextlib.closing(stream), pytest.raises(httpcore2.ReadTimeout):
                stream.read(1, timeout=0.05)


class TestTls:
    def test_carries_whole_what_is_sent_and_read_in_many_turns(
        self, server_tls: ssl.SSLContext, trusting: ssl.SSLContext
    ) -> None:
        sent = bytes(range(256)) * 16 * 1024
        with stubborn(greeting(server_tls, answer_with_digest)) as port:
            plain = CheckedBackend().connect_tcp(HERE, port, timeout=3)
            stream = plain.start_tls(trusting, HERE, timeout=3)
            with contextlib.closing(stream):
                stream.write(len(sent).to_bytes(8, "big") + sent, timeout=3)
                read = b""
                while piece := stream.read(64, timeout=3):
                    read += piece
        assert read == hashlib.sha256(sent).digest() * 1000


class TestCheck:
    def test_counts_within_another_one_too(self) -> None:
        with checked(after_looks(0)), checked(lambda: None), pytest.raises(NobodyWaitsError):
            look()

    def test_is_over_with_its_block(self) -> None:
        with checked(lambda: None):
            with checked(after_looks(0)):
                pass
            look()


def greeting(
    context: ssl.SSLContext, then: Callable[[ssl.SSLSocket, threading.Event], None] | None = None
) -> Callable[[socket.socket, threading.Event], None]:
    def behave(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as greeted:
            if then is not None:
                then(greeted, over)

    return behave


def answer_with_digest(connection: ssl.SSLSocket, over: threading.Event) -> None:
    """Read slowly what is sent, its length first, and answer at length."""
    size, digest = int.from_bytes(connection.recv(8), "big"), hashlib.sha256()
    while size and not over.wait(0.001):
        piece = connection.recv(16 * 1024)
        digest.update(piece)
        size -= len(piece)
    connection.sendall(digest.digest() * 1000)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("provider-ca"))


@pytest.fixture
def server_tls(authority: Authority) -> ssl.SSLContext:
    pair, context = authority.sign("provider"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    return context
