from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from procos import queues
from procos.domain.errors import BrokerUnreachableError
from procos.kernel.probes import AmqpProbe, ConsumerProbe, HttpProbe, RedisProbe, ask
from procos.queues import QueueDepth
from procos.settings import BrokerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 1
"""A port on which nobody listens."""


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection with a function."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(2)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        denied = self.path == "/private" and not self.headers.get("Authorization")
        self.send_response(401 if denied else 503 if self.path == "/ill" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class TestHttpProbe:
    def test_is_content_with_success(self, server: str) -> None:
        assert HttpProbe(url=f"{server}/health").check() is None

    def test_names_another_answer(self, server: str) -> None:
        assert HttpProbe(url=f"{server}/ill").check() == "answers 503"

    def test_tells_refused_credentials_from_other_trouble(self, server: str) -> None:
        assert HttpProbe(url=f"{server}/private").check() == "the credentials are refused"
        assert HttpProbe(url=f"{server}/private", login=("u", "p")).check() is None
        assert HttpProbe(url=f"{server}/private", headers={"Authorization": "Bearer t"}).check() is None

    def test_says_that_nobody_is_there_in_plain_words(self) -> None:
        assert HttpProbe(url=f"http://127.0.0.1:{NOBODY}/").check() == "connection refused"

    def test_waits_no_longer_than_its_limit(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            probe = HttpProbe(url=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.05)

            assert probe.check() == "no answer within 0.05 s"

    def test_keeps_credentials_out_of_its_own_description(self) -> None:
        shown = repr(HttpProbe(url="http://x/", login=("user", "secret"), headers={"Authorization": "Bearer secret"}))

        assert "secret" not in shown


class TestAmqpProbe:
    def test_is_content_when_the_server_opens_the_conversation(self) -> None:
        def talk(connection: socket.socket) -> None:
            assert connection.recv(8) == b"AMQP\x00\x00\x09\x01"
            connection.sendall(b"\x01\x00\x00")

        with answering(talk) as port:
            assert AmqpProbe(url=f"amqp://u:p@127.0.0.1:{port}//").check() is None

    def test_notices_a_server_of_another_kind(self) -> None:
        with answering(lambda connection: connection.sendall(b"HTTP/1.1 400")) as port:
            assert AmqpProbe(url=f"amqp://127.0.0.1:{port}//").check() == "does not speak AMQP 0-9-1"

    def test_says_that_nobody_is_there(self) -> None:
        assert AmqpProbe(url=f"amqp://127.0.0.1:{NOBODY}//").check() == "connection refused"


class TestRedisProbe:
    def test_is_content_with_an_answer_to_ping(self) -> None:
        def talk(connection: socket.socket) -> None:
            while asked := connection.recv(4096):
                connection.sendall(b"+PONG\r\n" if b"PING" in asked else b"+OK\r\n" * asked.count(b"CLIENT"))

        with answering(talk) as port:
            assert RedisProbe(url=f"redis://127.0.0.1:{port}/0?protocol=2").check() is None

    def test_says_that_nobody_is_there(self) -> None:
        assert RedisProbe(url=f"redis://127.0.0.1:{NOBODY}/0").check() == "connection refused"


class TestConsumerProbe:
    @pytest.fixture
    def broker(self) -> BrokerSettings:
        return BrokerSettings(url="amqp://127.0.0.1//")

    def test_is_content_when_somebody_consumes_every_queue(
        self, broker: BrokerSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queues, "depths", lambda _, names: {name: QueueDepth(consumers=1) for name in names})

        assert ConsumerProbe(broker=broker, queues=("ai",)).check() is None

    def test_names_the_queues_nobody_consumes(self, broker: BrokerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        found = {"generic": QueueDepth(consumers=2), "mail": QueueDepth(missing=True)}
        monkeypatch.setattr(queues, "depths", lambda *_: found)

        assert ConsumerProbe(broker=broker, queues=("generic", "mail")).check() == "nobody consumes mail"

    def test_says_when_the_broker_cannot_be_asked(
        self, broker: BrokerSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def depths(*_: object) -> None:
            raise BrokerUnreachableError("amqp://127.0.0.1//", "connection refused")

        monkeypatch.setattr(queues, "depths", depths)

        assert "connection refused" in str(ConsumerProbe(broker=broker, queues=("ai",)).check())

    def test_cannot_tell_where_the_broker_does_not_count(self) -> None:
        broker = BrokerSettings(url=f"redis://127.0.0.1:{NOBODY}/1")

        assert ConsumerProbe(broker=broker, queues=("ai",)).check() is None


class TestAsk:
    def test_takes_a_question_that_fails_for_an_answer(self) -> None:
        class Broken:
            def check(self) -> str | None:
                raise KeyError("surprise")

        assert ask(Broken()) == "cannot be asked: 'surprise'"
