"""The worker's consumer: what it shows, what it refuses, and what it does with a task that ran out of memory."""

from __future__ import annotations

import json
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from billiard.einfo import ExceptionInfo
from kombu import compression
from kombu.compression import encoders
from kombu.message import Message

from procos.app import app
from procos.queues import refuse_compression
from procos.worker import Consumer, Request
from procos.worker_guard import DEEPEST, flaw_of, named

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = "{'process_instance_id': 'p'}"
HEADERS = {"id": "1", "task": "celery.ping", "lang": "py", "argsrepr": "()", "kwargsrepr": SHOWN, "root_id": "1"}
BODY = [[], {"variables": {"note": "hunter2"}}, {}]
LARGEST = 1_000_000


def message(body: Any = BODY, *, headers: Any = HEADERS, **more: Any) -> Any:
    text: Any = body if isinstance(body, str | bytes) else json.dumps(body)
    described = {"content_type": "application/json", "content_encoding": "utf-8", "accept": {"application/json"}}
    return Message(
        body=text, headers=headers, delivery_info={"routing_key": "ai"}, **{**described, **more}
    )  # fmt: skip


def nested(depth: int) -> list[Any]:
    inner: Any = {"leaf": [1]}
    for _ in range(depth):
        inner = [inner]
    return [[], {"variables": inner}, {}]


class TestRequest:
    @pytest.fixture
    def request_of(self) -> Request:
        task = next(iter(app.tasks.values()))
        return Request(message(), app=app, task=task, body=message().body)

    def test_shows_inspect_the_ids_and_never_the_variables(self, request_of: Request) -> None:
        shown = request_of.info()
        assert "hunter2" not in repr(shown)
        assert "process_instance_id" in repr(shown["kwargs"])

    def test_gives_back_a_task_that_ran_out_of_memory(
        self, request_of: Request, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rejected: list[bool] = []
        monkeypatch.setattr(request_of, "reject", lambda *, requeue: rejected.append(requeue))
        try:
            raise_(MemoryError())
        except MemoryError:
            request_of.on_failure(ExceptionInfo())
        assert rejected == [True]


class TestFlawOf:
    @pytest.mark.parametrize(
        "good",
        [
            message(),
            message([[1], {}, {"callbacks": None, "errbacks": [{"task": "procos.fail"}], "chain": None}]),
            message(headers={**HEADERS, "timelimit": [600, 610.5]}),
            message(headers={**HEADERS, "timelimit": [None, None]}),
            message(nested(DEEPEST // 2)),
            message([[], {"variables": [{"row": [n]} for n in range(DEEPEST)]}, {}]),
        ],
    )
    def test_is_none_of_a_task(self, good: Any) -> None:
        assert flaw_of(good, largest=LARGEST) is None

    @pytest.mark.parametrize(
        ("bad", "flaw"),
        [
            (message("{["), "cannot be decoded: DecodeError"),
            (message("[" * 100_000), "cannot be decoded"),
            (message(nested(DEEPEST)), f"nested more than {DEEPEST} deep"),
            (message("x" * (LARGEST + 1)), f"more than {LARGEST} bytes"),
            (message(content_type="application/x-yaml"), "content type is not allowed"),
            (message([[], {}]), "not a list of arguments"),
            (message([[], [], {}]), "not a list of arguments"),
            (message([[], {}, {"callbacks": ["hunter2"]}]), "'callbacks' is not a list of tasks"),
            (message(headers={"task": "a"}), "'id' is not a text"),
            (message(headers={"task": "a", "id": "i" * 201}), "'id' is not a text"),
            (message(headers={"task": ["a"], "id": "i"}), "'task' is not a text"),
            (message(headers={**HEADERS, "timelimit": 5}), "not two numbers"),
            (message(headers={**HEADERS, "timelimit": [True, -1]}), "not two numbers"),
        ],
    )
    def test_tells_what_is_wrong_and_quotes_nothing(self, bad: Any, flaw: str) -> None:
        told = flaw_of(bad, largest=LARGEST) or ""
        assert flaw in told
        assert "hunter2" not in told

    def test_leaves_the_decoded_body_to_celery(self) -> None:
        good = message()
        flaw_of(good, largest=LARGEST)
        assert good._decoded_cache == BODY


class TestNamed:
    def test_tells_names_and_sizes_alone(self) -> None:
        assert named(message()) == {
            "queue": "ai",
            "task": "celery.ping",
            "celery_id": "1",
            "content_type": "application/json",
            "bytes": len(json.dumps(BODY)),
        }

    def test_tells_what_there_is(self) -> None:
        odd = SimpleNamespace(headers=None, delivery_info=None, content_type=None, body=None)
        assert set(named(odd).values()) == {None, 0}


class TestRefuseCompression:
    @pytest.fixture
    def methods(self) -> Iterator[None]:
        """Leave kombu as it was."""
        known: dict[str, Any] = {}
        for kind in encoders():
            encoder: Any = compression.get_encoder(kind)
            known[kind] = (encoder[0], compression.get_decoder(kind))
        # Another test may have opened a connection, which refuses them all.
        compression.register(zlib.compress, zlib.decompress, "application/x-gzip")
        yield
        for kind, (encoder, decoder) in known.items():
            compression.register(encoder, decoder, kind)

    @pytest.mark.usefixtures("methods")
    def test_leaves_no_way_to_unpack_anything(self) -> None:
        headers = {**HEADERS, "compression": "gzip"}
        body, _ = compression.compress(b"[[], {}, {}]", "gzip")
        assert message(body, headers=headers).errors == []
        refuse_compression()
        assert len(message(body, headers=headers).errors) == 1


class TestConsumer:
    @pytest.fixture
    def consumer(self) -> Any:
        """A consumer without anything to consume from."""
        consumer: Any = Consumer.__new__(Consumer)
        consumer.app = SimpleNamespace(conf=SimpleNamespace(broker_url="amqp://"))
        consumer.connection_errors = (ConnectionError,)
        return consumer

    @pytest.fixture
    def rejected(self) -> list[bool]:
        return []

    @pytest.fixture
    def delivered(self, rejected: list[bool]) -> Any:
        """A message, and what was done with it."""
        return SimpleNamespace(
            headers=HEADERS,
            body="",
            content_type="application/json",
            acknowledged=False,
            delivery_info={"consumer_tag": "7"},
            channel=SimpleNamespace(no_ack_consumers=set()),
            reject=lambda *, requeue: rejected.append(requeue),
        )

    def test_gives_back_once_what_celery_stumbles_over(
        self, consumer: Any, delivered: Any, rejected: list[bool]
    ) -> None:
        consumer._give_back(delivered, raised())
        delivered.delivery_info["redelivered"] = True
        consumer._give_back(delivered, raised())
        assert rejected == [True, False]

    def test_rejects_nothing_twice(self, consumer: Any, delivered: Any, rejected: list[bool]) -> None:
        delivered.acknowledged = True
        consumer._give_back(delivered, raised())
        assert rejected == []

    def test_rejects_nothing_on_its_control_queue(self, consumer: Any, delivered: Any, rejected: list[bool]) -> None:
        delivered.channel.no_ack_consumers.add("7")
        consumer.on_decode_error(delivered, ValueError())
        assert rejected == []

    def test_survives_a_broker_that_is_gone_meanwhile(self, consumer: Any, delivered: Any) -> None:
        def gone(**_: object) -> None:
            raise ConnectionError

        delivered.reject = gone
        consumer.refuse(delivered, "bad")


def raised() -> Exception:
    try:
        raise_(KeyError("hunter2"))
    except KeyError as error:
        return error


def raise_(error: Exception) -> NoReturn:
    raise error
