"""A worker that dies while a mail server thinks about a whole message: one mail, and a person is asked to look."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.outcome import failure_from_json
from procos.queues import Queue
from tests.mail_servers import scripted_server
from tests.services import wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
        stored_failure: Callable[[Any], Any],
    ) -> None:
        send("email_send", to="ann@example.org", subject="once", text="hello")
        wait_until(lambda: mail_server.mails, 30, what="the server has the whole message")
        worker.kill()
        over.set()
        worker.start()
        failure = failure_from_json(stored_failure(broker.take(Queue.CALLBACKS, 60)))
        assert (failure.code, failure.permanent) == ("OUTCOME_UNKNOWN", True)
        assert len(mail_server.mails) == 1
