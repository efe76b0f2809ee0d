"""An OpenAI-compatible server to talk to for real, settings that point at it, and the context of a step."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from procos.settings import load_settings
from tasks.ai.declined_parts import declined_parts
from tests.ai_samples import context_of
from tests.loopback_only import bound, no_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from procos.settings import Settings
    from tasks.context import TaskContext


__all__ = ["no_network"]

NO_REDIS = "redis://127.0.0.1:9/0"
"""Nobody listens there: what costs nothing is asked all the same."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    bound(items, "tests/tasks")


@dataclass
class ProviderServer:
    """A provider on loopback: what it shall answer, and all it was asked."""

    port: int = 0
    key: str = "sk-test-0123456789"
    tags_status: int = 200
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Callable[[], Iterable[bytes]] = tuple
    declines: Callable[[Any], str | None] = lambda _: None
    """What it says is wrong with a request, if anything."""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.requests]

    def reply(self, body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer chats with a body: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers, self.pieces = status, headers or {}, lambda: [content]

    def say(self, content: Any = "42", *, finish_reason: str = "stop", **more: Any) -> None:
        """Answer chats as a model would; `more` goes into the message, `usage` beside it."""
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7} | more.pop("usage", {})
        choice = {"index": 0, "finish_reason": finish_reason, "message": {"content": content, **more}}
        self.reply({"id": "c1", "model": "model-0613", "choices": [choice], "usage": usage})

    def stream(self, *events: Any) -> None:
        """Answer chats with events: texts as they are, anything else as JSON."""
        data = (event if isinstance(event, str) else json.dumps(event) for event in events)
        self.reply(
            "".join(f"data: {each}\n\n" for each in data).encode(), headers={"content-type": "text/event-stream"}
        )


class Server(ThreadingHTTPServer):
    """Serves the `ProviderServer` of the test that runs."""

    state = ProviderServer()

    def handle_error(self, *_: object) -> None:
        """Clients that give up half-way are part of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        state = self.server.state
        state.requests.append((self.path, dict(self.headers), None))
        self.send_response(state.tags_status)
        self.end_headers()

    def do_POST(self) -> None:
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        state.requests.append((self.path, dict(self.headers), body))
        if wrong := state.declines(body):
            state = ProviderServer()
            state.reply({"error": {"message": wrong}}, status=400)
        self.send_response(state.status)
        for name, value in {"content-type": "application/json", **state.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in state.pieces():
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture(scope="session")
def listening() -> Iterator[Server]:
    """Listen once for all tests, since every address costs a client of its own."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def provider_server(listening: Server) -> ProviderServer:
    """Return a provider that answers 42 until it is told otherwise, and of which nothing is known."""
    declined_parts.cache_clear()
    listening.state = ProviderServer(port=listening.server_address[1])
    listening.state.say()
    return listening.state


@pytest.fixture
def openai_settings(provider_server: ProviderServer) -> Settings:
    """Settings of an installation with one OpenAI-compatible provider."""
    return load_settings(
        {
            "PROCOS_OPENAI_API_KEY": provider_server.key,
            "PROCOS_OPENAI_BASE_URL": f"{provider_server.url}/v1",
            "PROCOS_OPENAI_MODEL": "model",
            "PROCOS_OPENAI_TIMEOUT": "5",
            "PROCOS_REDIS_URL": NO_REDIS,
        },
        dotenv=None,
    )


@pytest.fixture
def context_with() -> Callable[..., TaskContext]:
    """Return a builder of contexts."""

    return context_of
