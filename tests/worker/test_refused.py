"""Nothing that arrives stops a worker: each message below is refused, and the same process goes on with the next."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from procos.queues import EXCHANGE, Queue, connect, dead
from tests.broker_view import BrokerView
from tests.services import pause, wait_until
from tests.worker.nodes import WorkerContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings
    from tests.services import Service

QUEUE = "generic"
SECRET = "hunter2"
LARGEST = 1_000_000
GOOD_HEADERS = {"task": "sample.sample_values", "id": "celery-1", "lang": "py", "argsrepr": "()", "kwargsrepr": "{}"}
GOOD_BODY = [[], {"secret": SECRET}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A message that differs from a good one."""

    body: Any = field(default_factory=lambda: GOOD_BODY)
    headers: Mapping[str, object] = field(default_factory=lambda: GOOD_HEADERS)
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def without(name: str, **more: object) -> dict[str, object]:
    return {key: value for key, value in GOOD_HEADERS.items() if key != name} | more


def options(**changed: object) -> list[object]:
    return [[], {"secret": SECRET}, {"callbacks": None, "errbacks": None, **changed}]


ROWS = {
    "invalid-json": Bad(body=b'[[], {"secret": "hunter2"'),
    "bad-utf8": Bad(body=b'[[], {"secret": "hunter2\xff"}, {}]'),
    "empty-body": Bad(body=b""),
    "body-is-a-2-list": Bad(body=[[], {}]),
    "body-is-an-object": Bad(body={"secret": SECRET}),
    "body-is-null": Bad(body=None),
    "body-is-a-number": Bad(body=7),
    "body-is-a-protocol-1-task": Bad(body={"task": "x", "id": "y", "args": [], "kwargs": {}}, headers={}),
    "no-headers": Bad(headers={}),
    "header-without-id": Bad(headers=without("id")),
    "header-id-is-a-number": Bad(headers=without("id", id=7)),
    "header-without-task": Bad(headers=without("task")),
    "header-task-is-a-table": Bad(headers=without("task", task={"a": 1})),
    "time-limit-of-the-wrong-shape": Bad(headers={**GOOD_HEADERS, "timelimit": ["soon"]}),
    "expires-of-the-wrong-shape": Bad(headers={**GOOD_HEADERS, "expires": {"when": "soon"}}),
    "eta-of-the-wrong-shape": Bad(headers={**GOOD_HEADERS, "eta": "soon"}),
    "args-not-a-list": Bad(body=["a", {}, {}]),
    "kwargs-not-a-mapping": Bad(body=[[], ["secret", SECRET], {}]),
    "options-not-a-mapping": Bad(body=[[], {}, None]),
    "callbacks-of-the-wrong-shape": Bad(body=options(callbacks=[7])),
    "errbacks-of-the-wrong-shape": Bad(body=options(errbacks="x")),
    "json-bomb-that-cannot-be-decoded": Bad(body=b"[" * 200_000),
    "json-bomb-that-can": Bad(body=b'[[], {"a": ' + b"[" * 700 + b"]" * 700 + b"}, {}]"),
    "huge-body": Bad(body=b'[[], {"a": "' + b"x" * LARGEST + b'"}, {}]'),
    "compressed-bomb": Bad(
        body=gzip.compress(b"[[], {}, {}]" + b" " * 10_000_000), headers={**GOOD_HEADERS, "compression": "gzip"}
    ),
    "unknown-compression": Bad(headers={**GOOD_HEADERS, "compression": "rot13"}),
    "content-type-refused": Bad(content_type="application/x-python-serialize"),
    "content-type-missing": Bad(content_type=None, content_encoding=None),
    "task-not-registered": Bad(headers=without("task", task="nobody.knows")),
}

CONTROL = {
    "control-garbage": Bad(body=b"\xff{[", headers={}),
    "control-a-list": Bad(body=[1, 2], headers={}),
    "control-null": Bad(body=None, headers={}),
    "control-bomb": Bad(body=b"[" * 200_000, headers={}),
    "control-clock-of-the-wrong-shape": Bad(body={"method": "ping"}, headers={"clock": "noon"}),
    "control-without-a-method": Bad(body={"arguments": {}}, headers={}),
    "control-with-other-arguments": Bad(body={"method": "ping", "arguments": {"a": 1}}, headers={}),
    "control-reply-to-of-the-wrong-shape": Bad(body={"method": "ping", "reply_to": "x"}, headers={}),
    "control-reply-to-nowhere": Bad(
        body={"method": "ping", "ticket": "t", "reply_to": {"exchange": "nowhere", "routing_key": "x"}},
        headers={},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def worker(
    rabbitmq: Service, redis_server: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerContainer]:
    """One worker, which meets every message of this file."""
    limit = {"PROCOS_WORKER_LARGEST_MESSAGE": str(LARGEST)}
    environment = {**rabbitmq.environment, **redis_server.environment, **limit}
    container = WorkerContainer(["-Q", QUEUE, "-c", "1"], environment, tmp_path_factory.mktemp("worker"))
    container.start()
    yield container
    container.teardown()


@pytest.fixture
def view(worker: WorkerContainer, settings: Settings) -> BrokerView:  # noqa: ARG001  # it declares the queues
    view = BrokerView(settings.broker)
    for queue in (dead(QUEUE), Queue.CALLBACKS):
        while view.waiting(queue) > 0:
            view.take(queue)
    return view


@pytest.fixture
def still_works(worker: WorkerContainer, view: BrokerView, send: Callable[..., DispatchRef]) -> Callable[[], None]:
    """Prove that the process that was there before runs a good task."""
    pid = worker.pid

    def prove() -> None:
        ref = send("sample_values", text="good")
        answer = view.take(Queue.CALLBACKS, 20)
        assert ref.external_task_id in json.dumps(json.loads(answer.body))
        assert (worker.pid, worker.status) == (pid, "running")

    return prove


def put(settings: Settings, bad: Bad, *, exchange: str, routing_key: str) -> None:
    with connect(settings.broker) as connection:
        channel: Any = connection.default_channel
        message = channel.prepare_message(
            bad.bytes, content_type=bad.content_type, content_encoding=bad.content_encoding, headers=dict(bad.headers)
        )
        channel.basic_publish(message, exchange=exchange, routing_key=routing_key)


class TestWorker:
    @pytest.mark.parametrize("row", ROWS)
    def test_refuses_what_is_no_task_and_goes_on(
        self,
        row: str,
        worker: WorkerContainer,
        view: BrokerView,
        settings: Settings,
        still_works: Callable[[], None],
    ) -> None:
        said = len(worker.logs())
        put(settings, ROWS[row], exchange=EXCHANGE.name, routing_key=QUEUE)
        message = view.take(dead(QUEUE), 20)
        still_works()
        assert (message.body if isinstance(message.body, bytes) else message.body.encode()) == ROWS[row].bytes
        words = worker.logs()[said:]
        assert "message.refused" in words
        assert SECRET not in words
        assert view.waiting(dead(QUEUE)) == 0

    @pytest.mark.parametrize("row", CONTROL)
    def test_survives_what_its_control_queue_brings(
        self,
        row: str,
        worker: WorkerContainer,
        settings: Settings,
        still_works: Callable[[], None],
    ) -> None:
        put(settings, CONTROL[row], exchange="celery.pidbox", routing_key="")
        pause(0.3)
        still_works()
        assert worker.status == "running"

    def test_tells_how_many_it_refused(self, worker: WorkerContainer, settings: Settings, view: BrokerView) -> None:
        before = worker.logs().count("message.refused")
        put(settings, ROWS["body-is-null"], exchange=EXCHANGE.name, routing_key=QUEUE)
        view.take(dead(QUEUE), 20)
        wait_until(lambda: worker.logs().count("message.refused") == before + 1, 5, what="the refusal is logged")
        last = json.loads([line for line in worker.logs().splitlines() if "message.refused" in line][-1])
        assert last["refused"] == before + 1
        assert last["reason"].startswith("the body is not a list")
