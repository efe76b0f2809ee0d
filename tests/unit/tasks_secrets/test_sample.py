"""The task the documentation shows: its service gets the secrets, and nobody else does."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

import tasks.task
from procos.app import app
from procos.domain.errors import TransientError
from procos.domain.external_task import Topic
from procos.domain.outcome import Failure, outcome_of
from procos.routes import Route
from tasks.secrets.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.settings import Settings
    from tasks.context import TaskContext

ROUTE = Route(task_name="t.ticket", queue="generic", module="m")
HEADERS = '{"X-Team": "{{secrets.TEAM_KEY}}"}'


class Crm(ThreadingHTTPServer):
    """Opens tickets, or says what it was shown."""

    shown: dict[str, str]
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Crm

    def do_POST(self) -> None:
        self.server.shown = shown = dict(self.headers)
        self.rfile.read(int(shown["Content-Length"]))
        answer = b'{"number": 17}' if self.server.status == 200 else f"refused: {shown}".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def crm() -> Iterator[Crm]:
    with Crm(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tickets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(tasks.task, "routes", lambda: MappingProxyType({Topic("sample_ticket"): ROUTE}))
    yield import_module("tests.samples.sample_tasks.tickets")
    app.tasks.pop("t.ticket", None)


@pytest.fixture
def context(crm: Crm, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]) -> TaskContext:
    settings = settings_with(
        PROCOS_CONNECTIONS__CRM__URL=f"http://127.0.0.1:{crm.server_port}",
        PROCOS_CONNECTIONS__CRM__TOKEN="{{secrets.CRM_TOKEN}}",
        PROCOS_SECRETS__CRM_TOKEN="a-token-of-the-crm",
        PROCOS_SECRETS__TEAM_KEY="a-key-of-the-team",
        PROCOS_SECRETS_ALLOWED='{"http_request": ["TEAM_KEY"]}',
    )
    return context_with(settings, headers=HEADERS)


class TestSample:
    def test_shows_the_secrets_to_its_service(self, tickets: Any, crm: Crm, context: TaskContext) -> None:
        result = tickets.open_ticket(tickets.Ticket(title="help", headers=HEADERS), context)
        assert result == {"ticket": 17}
        assert crm.shown["Authorization"] == "Bearer a-token-of-the-crm"
        assert crm.shown["X-Team"] == "a-key-of-the-team"
        assert crm.shown["Idempotency-Key"] == "task-1"

    def test_quotes_a_careless_service_without_them(self, tickets: Any, crm: Crm, context: TaskContext) -> None:
        crm.status = 500
        with pytest.raises(TransientError, match="a-key-of-the-team") as refusal:
            tickets.open_ticket(tickets.Ticket(title="help", headers=HEADERS), context)
        outcome = without_secrets(outcome_of(refusal.value), context.handed_out)
        assert isinstance(outcome, Failure)
        assert "the CRM answered 500: refused" in outcome.message
        assert "'X-Team': '***'" in outcome.message
        assert "a-token" not in outcome.message
