"""A planted secret on real services: looked for in the message, in Redis, in callbacks, events and log of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from procos.queues import Queue, connect
from tests.planted import CONSTANT, ENVIRONMENT, NAME, TOPIC, found_in
from tests.samples.sample_tasks.leaks import WAYS
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_celery import CeleryTestSetup

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.broker_view import BrokerView

EVENTS = "celeryev"


@pytest.fixture
def worker_arguments() -> list[str]:
    return ["-Q", "generic", "-c", "1"]


@pytest.fixture
def worker_environment() -> dict[str, str]:
    return ENVIRONMENT


@pytest.fixture
def events(broker: BrokerView, celery_setup: CeleryTestSetup) -> Iterator[Callable[[], str]]:
    """Every event of the worker, as Flower gets them."""
    assert celery_setup.ready(control=True)
    with connect(broker.settings) as connection:
        channel: Any = connection.default_channel
        queue = channel.queue_declare(exclusive=True).queue
        channel.queue_bind(queue, EVENTS, "#")

        def read() -> str:
            found = []
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(text_of(message))
            return "\n".join(found)

        yield read


def text_of(message: Any) -> str:
    return message.body.decode() if isinstance(message.body, bytes) else str(message.body)


def everything_in(settings: Settings) -> str:
    """Return every key of Redis and what it holds."""
    with redis.Redis.from_url(settings.redis.url, decode_responses=True) as client:
        return "\n".join(f"{key} {_value(client, key)}" for key in client.scan_iter())


def _value(client: redis.Redis, key: str) -> object:
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "set":
            return client.smembers(key)
        case "list":
            return client.lrange(key, 0, -1)
        case "stream":
            return client.xrange(key)
    return client.get(key)


class TestPlantedSecret:
    def test_is_found_nowhere(
        self,
        celery_setup: CeleryTestSetup,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        settings: Settings,
    ) -> None:
        assert celery_setup.ready(control=True)
        refs = [send(TOPIC, constants=("token",), way=way, token=CONSTANT) for way in WAYS]
        callbacks = [text_of(broker.take(Queue.CALLBACKS, 30)) for _ in WAYS]
        stored = everything_in(settings)
        log = celery_setup.worker.logs()
        assert all(ref.celery_id in stored for ref in refs)
        assert all(ref.external_task_id in "".join(callbacks) for ref in refs)
        for place in (*callbacks, stored, log):
            assert found_in(place) == []
        assert log.count("leaks.said") == len(WAYS)
        assert log.count("stdout: ***") == log.count("stderr: ***") == len(WAYS)
        assert "asked with ***" in log
        assert "the token ***" in log
        assert "***" in "".join(callbacks)
        assert "***" in stored

    def test_is_found_in_no_event(
        self,
        send: Callable[..., DispatchRef],
        broker: BrokerView,
        events: Callable[[], str],
    ) -> None:
        send(TOPIC, constants=("token",), way="permanent", token=CONSTANT)
        broker.take(Queue.CALLBACKS, 30)
        seen: list[str] = []

        def failed() -> bool:
            seen.append(events())
            return "task-failed" in "".join(seen)

        wait_until(failed, 10, what="the event of the failure came")
        assert found_in("".join(seen)) == []
        assert "***" in "".join(seen)

    def test_travels_as_a_placeholder(
        self, celery_setup: CeleryTestSetup, send: Callable[..., DispatchRef], broker: BrokerView
    ) -> None:
        assert celery_setup.worker
        send("sample_sleep", constants=("token",), token=CONSTANT)  # to a queue that nobody consumes
        body = text_of(broker.take("ai"))
        assert CONSTANT in body
        assert '"constants": ["token"]' in body
        assert found_in(body) == []


class TestHostileVariable:
    def test_stays_a_text(
        self, celery_setup: CeleryTestSetup, send: Callable[..., DispatchRef], broker: BrokerView
    ) -> None:
        assert celery_setup.worker
        placeholder = f"{{{{secrets.{NAME}}}}}"
        send(TOPIC, way="result", token=placeholder, note=placeholder)
        body = text_of(broker.take(Queue.CALLBACKS, 30))
        assert f"the token is {placeholder}" in body
        assert found_in(body) == []
