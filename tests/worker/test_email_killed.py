"""A worker that dies while a mail server thinks about a whole message: one mail, and a person is asked to look."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge.outcomes import read_callback
from procos.domain.outcome import Failure
from procos.queues import Queue
from tests.mail_servers import scripted_server
from tests.services import wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.ledger import Ledger
    from procos.domain.dispatch import DispatchRef
    from tests.broker_view import BrokerView
    from tests.mail_servers import Script
    from tests.services import Service


@pytest.fixture
def over() -> threading.Event:
    return threading.Event()


@pytest.fixture
def mail_server(over: threading.Event) -> Iterator[Script]:
    """Run a server that takes a message, and does not answer until it is over."""
    with scripted_server(at_dot=lambda: over.wait(60)) as server:
        yield server
        over.set()


@pytest.fixture
def worker(
    rabbitmq: Service, redis_server: Service, mail_server: Script, broker: BrokerView, tmp_path: Path
) -> Iterator[WorkerContainer]:
    broker.declare()
    fields = {"TYPE": "email", "HOST": "127.0.0.1", "SECURITY": "none", "SENDER": "shop@example.org"}
    connection = {f"PROCOS_CONNECTIONS__EMAIL__{name}": value for name, value in fields.items()}
    connection["PROCOS_CONNECTIONS__EMAIL__PORT"] = str(mail_server.port)
    container = WorkerContainer(
        ["-Q", "generic"], {**rabbitmq.environment, **redis_server.environment, **connection}, tmp_path
    )
    container.start()
    yield container
    container.teardown()


class TestKilledWorker:
    def test_sends_one_mail_and_ends_in_an_incident(
        self,
        worker: WorkerContainer,
        mail_server: Script,
        over: threading.Event,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        ledger: Ledger,
    ) -> None:
        send("email_send", to="ann@example.org", subject="once", text="hello")
        wait_until(lambda: mail_server.mails, 30, what="the server has the whole message")
        worker.kill()
        over.set()
        worker.start()
        raw = broker.take(Queue.CALLBACKS, 60)
        body = raw.body.encode() if isinstance(raw.body, str) else raw.body
        callback: Any = SimpleNamespace(headers=raw.headers, body=body, decode=lambda: json.loads(body))
        outcome = read_callback(callback, ledger).outcome
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.permanent) == ("OUTCOME_UNKNOWN", True)
        assert len(mail_server.mails) == 1
