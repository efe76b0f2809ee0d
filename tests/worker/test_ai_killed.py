"""A worker that dies after an answer was paid for: the next one has it without asking again."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from procos.queues import Queue
from tests.services import wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.services import Service

ANSWER = b"""data: {"choices": [{"delta": {"content": "42"}, "finish_reason": "stop"}], "model": "m"}

data: [DONE]

"""


class CountingServer(ThreadingHTTPServer):
    """A provider that counts what it is asked."""

    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: CountingServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def provider() -> Iterator[CountingServer]:
    with CountingServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def worker(
    rabbitmq: Service, redis_server: Service, provider: CountingServer, broker: BrokerView, tmp_path: Path
) -> Iterator[WorkerContainer]:
    broker.declare()
    url = f"http://127.0.0.1:{provider.server_address[1]}/v1"
    settings = {"PROCOS_OPENAI_API_KEY": "any", "PROCOS_OPENAI_BASE_URL": url, "PROCOS_OPENAI_MODEL": "m"}
    container = WorkerContainer(
        ["-Q", "ai"], {**rabbitmq.environment, **redis_server.environment, **settings}, tmp_path
    )
    container.start()
    yield container
    container.teardown()


class TestKilledWorker:
    def test_costs_no_second_paid_call(
        self,
        worker: WorkerContainer,
        provider: CountingServer,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        tmp_path: Path,
    ) -> None:
        effects = tmp_path / "effects"
        send("sample_ask", question="six times seven?", effects_file=str(effects), seconds=60)
        wait_until(effects.exists, 30, what="the answer is there")
        worker.kill()
        worker.start()
        callback: Any = broker.take(Queue.CALLBACKS, 60)
        assert callback.headers["task"] == "procos.complete"
        assert effects.read_text().split() == ["answered", "kept"]
        assert provider.asked == 1
