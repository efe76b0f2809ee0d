"""Publishing to a real RabbitMQ: of every dispatch it is known whether the broker has it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.publisher import CeleryPublisher, Publication, Receipt
from procos.app import make_app
from procos.domain.dispatch import Dispatch
from procos.domain.errors import BrokerUnreachableError
from procos.queues import socket_of
from procos.routes import Route
from procos.settings import load_settings
from procos.testing import dispatch_ref
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.broker_view import BrokerView
    from tests.services import Service

AI = Route(task_name="procos.ai_query", queue="ai", module="m")
GENERIC = Route(task_name="procos.ai_query", queue="generic", module="m")

RABBITMQCTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
QUEUES_WRITTEN_SECONDS = 2.0


def publication(name: str = "task-1", *, route: Route = AI, text: str = "hi") -> Publication:
    dispatch = Dispatch(ref=dispatch_ref(name), variables={"user_query": text}, business_key="order 1")
    return Publication(dispatch=dispatch, route=route)


def evaluated(rabbitmq: Service, expression: str) -> str:
    """Have the node evaluate an expression, and return what it says."""
    assert rabbitmq.part.launch is not None
    done = subprocess.run(
        [RABBITMQCTL, "-n", "procos@localhost", "eval", expression],
        env=dict(rabbitmq.part.launch("").environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def publisher(rabbitmq: Service) -> Iterator[CeleryPublisher]:
    settings = load_settings(dict(rabbitmq.environment), dotenv=None)
    publisher = CeleryPublisher(
        make_app(settings, with_results=False), confirm_timeout=2.0, time_limit=timedelta(minutes=10)
    )
    yield publisher
    publisher.close()


class TestConfirmed:
    def test_is_what_the_queue_has(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        assert publisher.publish([publication(name) for name in "abc"]) == [Receipt.CONFIRMED] * 3
        assert declared.waiting("ai") == 3

    def test_travels_as_a_celery_task_with_both_callbacks(
        self, publisher: CeleryPublisher, declared: BrokerView
    ) -> None:
        publisher.publish([publication()])
        message = declared.take("ai")
        args, kwargs, embed = json.loads(message.body)
        headers = message.headers
        assert (headers["task"], headers["id"]) == ("procos.ai_query", "task-1.1000")
        assert (args, kwargs["variables"]) == ([], {"user_query": "hi"})
        (link,), (link_error,) = embed["callbacks"], embed["errbacks"]
        assert [link["task"], link_error["task"]] == ["procos.complete", "procos.fail"]
        assert link["options"]["routing_key"] == link_error["options"]["routing_key"] == "callbacks"
        assert link["kwargs"]["dispatch"]["id"] == "task-1"

    def test_shows_ids_and_never_contents(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        publisher.publish([publication(text="hunter2")])
        headers = declared.take("ai").headers
        assert "instance-of-task-1" in headers["kwargsrepr"]
        assert "hunter2" not in json.dumps(headers)

    def test_survives_the_broker_being_killed(
        self, publisher: CeleryPublisher, declared: BrokerView, rabbitmq: Service
    ) -> None:
        # RabbitMQ writes down within a second or two where a new quorum queue is; this test is about its messages.
        pause(QUEUES_WRITTEN_SECONDS)
        publisher.publish([publication()])
        rabbitmq.kill()
        rabbitmq.start()
        declared.await_recovery()
        assert declared.take("ai").headers["id"] == "task-1.1000"


class TestRefused:
    def test_is_what_no_queue_takes(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        publisher.publish([publication("first", route=GENERIC)])
        declared.delete("generic")
        receipts = publisher.publish([publication("a"), publication("b", route=GENERIC), publication("c")])
        assert receipts == [Receipt.CONFIRMED, Receipt.REFUSED, Receipt.CONFIRMED]


class TestTooLarge:
    """RabbitMQ closes the channel over one message, and says no word of the others on it."""

    @pytest.fixture(autouse=True)
    def smaller(self, rabbitmq: Service) -> Iterator[None]:
        before = evaluated(rabbitmq, "application:get_env(rabbit, max_message_size).")
        evaluated(rabbitmq, "application:set_env(rabbit, max_message_size, 20000).")
        yield
        size = re.search(r"\d+", before)
        assert size is not None
        evaluated(rabbitmq, f"application:set_env(rabbit, max_message_size, {size[0]}).")

    def test_is_told_of_that_message_alone(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        batch = {name: publication(name, text="x" * (50_000 if name == "c" else 1)) for name in "abcd"}
        receipts = dict(zip(batch, publisher.publish(list(batch.values())), strict=True))
        assert receipts["c"] is Receipt.UNKNOWN
        again = [name for name, receipt in receipts.items() if receipt is Receipt.UNKNOWN]
        receipts |= zip(again, publisher.publish([batch[name] for name in again]), strict=True)
        assert receipts == dict.fromkeys("abd", Receipt.CONFIRMED) | {"c": Receipt.TOO_LARGE}
        ids = {declared.take("ai").headers["id"] for _ in range(declared.waiting("ai"))}
        assert ids == {"a.1000", "b.1000", "d.1000"}


class TestUnknown:
    def test_is_what_was_under_way_when_the_broker_went(
        self, publisher: CeleryPublisher, declared: BrokerView, rabbitmq: Service
    ) -> None:
        publisher.publish([publication("before")])
        rabbitmq.stop()
        try:
            assert publisher.publish([publication("a"), publication("b")]) == [Receipt.UNKNOWN] * 2
            assert publisher.publish([publication("a"), publication("b")]) == [Receipt.UNKNOWN] * 2
        finally:
            rabbitmq.start()
            declared.await_recovery()
        assert publisher.publish([publication("a"), publication("b")]) == [Receipt.CONFIRMED] * 2
        assert [declared.take("ai").headers["id"] for _ in range(3)] == ["before.1000", "a.1000", "b.1000"]

    def test_is_what_a_frozen_broker_does_not_confirm_in_time(
        self, publisher: CeleryPublisher, declared: BrokerView, rabbitmq: Service
    ) -> None:
        publisher.publish([publication("before")])
        rabbitmq.freeze()
        thaw = threading.Timer(6.0, rabbitmq.freeze, kwargs={"frozen": False})
        thaw.start()
        try:
            assert publisher.publish([publication("a")]) == [Receipt.UNKNOWN]
        finally:
            thaw.join(10)
        pause(0.5)
        assert publisher.publish([publication("a")]) == [Receipt.CONFIRMED]
        ids = {declared.take("ai").headers["id"] for _ in range(declared.waiting("ai"))}
        assert ids == {"before.1000", "a.1000"}


class TestReady:
    def test_connects_before_anything_is_fetched(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        publisher.ready()
        assert publisher._channel is not None
        publisher.ready()
        assert publisher.publish([publication()]) == [Receipt.CONFIRMED]
        assert declared.waiting("ai") == 1

    def test_connects_again_when_the_broker_has_hung_up(self, publisher: CeleryPublisher, declared: BrokerView) -> None:
        publisher.ready()
        assert publisher._channel is not None
        before = publisher._channel
        socket_of(before._connection).shutdown(socket.SHUT_RDWR)
        publisher.ready()
        assert publisher._channel is not before
        assert publisher.publish([publication()]) == [Receipt.CONFIRMED]
        assert declared.waiting("ai") == 1

    def test_says_so_when_the_broker_is_away(self, free_port: int) -> None:
        settings = load_settings({"PROCOS_BROKER_URL": f"amqp://me:hunter2@127.0.0.1:{free_port}//"}, dotenv=None)
        away = CeleryPublisher(
            make_app(settings, with_results=False), confirm_timeout=1.0, time_limit=timedelta(minutes=10)
        )
        with pytest.raises(BrokerUnreachableError) as told:
            away.ready()
        assert "hunter2" not in str(told.value)
