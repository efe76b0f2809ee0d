"""`procos dead-letters` and `procos replay` on real brokers: looking changes nothing, sending loses nothing."""

from __future__ import annotations

import json
import os
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import bridge.moving
import bridge.shelf
from bridge.parking import Parking
from bridge.shelf import Shelf
from procos.cli.main import cli
from procos.domain.errors import BrokerUnreachableError
from procos.queues import DEAD_LETTERS, DELIVERY_LIMIT, EXCHANGE, SHELF, Queue, connect, dead
from procos.settings import BrokerSettings
from procos.testing import dispatch_ref
from tests.broker_view import BrokerView
from tests.services import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import redis
    from click.testing import Result

    from tests.services import Service

TIMEOUT = 15.0
REF = dispatch_ref()
BODY = json.dumps([[], {"dispatch": REF.to_json(), "variables": {"password": "hunter2"}}, {}]).encode()


def put_on(settings: BrokerSettings, body: bytes, headers: Mapping[str, object], *, queue: str = SHELF) -> None:
    """Publish a message of our own making, to the shelf or elsewhere."""
    exchange = DEAD_LETTERS if queue == SHELF else EXCHANGE
    with connect(settings, confirm_publish=True) as connection:
        channel: Any = connection.default_channel
        message = channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(headers),
            properties={"correlation_id": "c-1", "reply_to": "r-1"},
        )
        channel.basic_publish(message, exchange=exchange.name, routing_key=queue)


def shelve(settings: BrokerSettings, celery_id: str = REF.celery_id, *, body: bytes = BODY, queue: str = "ai") -> None:
    """Put a task there as the bridge does."""
    message: Any = type("Message", (), {"headers": {"id": celery_id, "task": "procos.ai_query"}})
    headers = bridge.shelf.shelf_headers(
        message, origin=queue, reason="it died", moment=datetime(2026, 11, 23, 4, tzinfo=UTC), ref=REF
    )
    put_on(settings, body, headers)


@pytest.fixture
def run(declared: BrokerView, tmp_path: Path) -> Callable[..., Result]:
    return commands(declared.settings, tmp_path)


def commands(settings: BrokerSettings, folder: Path) -> Callable[..., Result]:
    """Return what runs a command against this broker, and knows no stack and no `.env`."""
    environment = {"PROCOS_BROKER_URL": settings.url, "PROCOS_STATE_DIRECTORY": str(folder)}

    def run(*arguments: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            return CliRunner(env={**dict.fromkeys(os.environ), **environment}).invoke(cli, arguments)

    return run


class TestDeadLetters:
    def test_are_shown_with_everything_but_their_contents(
        self, declared: BrokerView, run: Callable[..., Result]
    ) -> None:
        shelve(declared.settings)
        shown = run("dead-letters", "--json")
        assert json.loads(shown.stdout) == [
            {
                "id": "task-1.1000",
                "queue": "ai",
                "shelved_at": "2026-11-23T04:00:00+00:00",
                "reason": "it died",
                "task_name": "procos.ai_query",
                "external_task_id": "task-1",
                "topic": "ai_query",
                "process_instance_id": "instance-of-task-1",
                "size": len(BODY),
            }
        ]
        for_people = run("dead-letters")
        for word in ("task-1.1000", "from ai", "procos.ai_query", "instance-of-task-1", "it died"):
            assert word in for_people.stdout
        assert "hunter2" not in shown.output + for_people.output

    def test_stay_there_in_their_order_however_often_somebody_looks(
        self, declared: BrokerView, run: Callable[..., Result]
    ) -> None:
        for name in "abc":
            shelve(declared.settings, name)
        for _ in range(8):
            assert [row["id"] for row in json.loads(run("dead-letters", "--json").stdout)] == ["a", "b", "c"]
            wait_until(lambda: declared.waiting(SHELF) == 3, TIMEOUT, what="all are back")

    def test_are_shown_up_to_the_limit_which_says_so(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        for name in "abc":
            shelve(declared.settings, name)
        shown = run("dead-letters", "--limit", "2", "--json")
        assert [row["id"] for row in json.loads(shown.stdout)] == ["a", "b"]
        assert "2 of 3 dead letters shown" in shown.stderr

    def test_are_none_on_an_empty_broker(self, broker: BrokerView, tmp_path: Path) -> None:
        shown = commands(broker.settings, tmp_path)("dead-letters")
        assert (shown.exit_code, shown.output) == (0, "no dead letters\n")

    def test_cannot_steer_a_terminal(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        shelve(declared.settings, "\x1b[2Jevil\nid")
        put_on(declared.settings, b"x", {"task": "\x1b]0;x\x07", "x-procos-reason": "\x1b[31m", "x-procos-id": 5})
        shown = run("dead-letters").stdout
        assert "\x1b" not in shown
        assert "evil id" in shown

    def test_are_not_shown_while_the_broker_is_away(self, tmp_path: Path) -> None:
        nobody = BrokerSettings(url="amqp://guest:guest@127.0.0.1:1//")
        for command in (("dead-letters",), ("replay", "--all")):
            error = commands(nobody, tmp_path)(*command).exception
            assert isinstance(error, BrokerUnreachableError)
            assert error.exit_code == 3


class TestReplay:
    def test_sends_a_task_as_it_was_sent_at_first(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        shelve(declared.settings)
        done = run("replay", REF.celery_id)
        assert (done.exit_code, done.stdout) == (0, "task-1.1000 sent to ai\n")
        message = declared.take("ai")
        kept = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
        assert kept == {"id": REF.celery_id, "task": "procos.ai_query"}
        assert message.body == BODY.decode()
        assert [message.properties[name] for name in ("correlation_id", "reply_to")] == ["c-1", "r-1"]
        assert declared.waiting(SHELF) == 0

    def test_gives_it_a_fresh_count_of_deliveries(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        put_on(declared.settings, BODY, {"id": "a", "task": "t"}, queue="ai")
        _deliver_in_vain(declared, DELIVERY_LIMIT + 1)
        wait_until(lambda: declared.waiting(dead("ai")) == 1, TIMEOUT, what="it died")
        died = declared.take(dead("ai"))
        put_on(declared.settings, BODY, {**died.headers, "x-procos-id": "a", "x-procos-queue": "ai"})
        assert run("replay", "a").exit_code == 0
        _deliver_in_vain(declared, DELIVERY_LIMIT)
        wait_until(lambda: declared.waiting("ai") == 1, TIMEOUT, what="it is offered once more")
        assert declared.waiting(dead("ai")) == 0

    def test_sends_a_callback_to_the_bridge(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        declared.put(Queue.CALLBACKS, b"garbage", {"id": "callback-1"})
        message = declared.take(Queue.CALLBACKS)
        message.content_type, message.content_encoding = "application/json", "utf-8"
        parking = Parking(declared.settings, ["ai", "generic"])
        assert parking.bury(message, "no callback of ours")
        parking.close()
        (row,) = json.loads(run("dead-letters", "--json").stdout)
        assert (row["id"], row["queue"], row["reason"]) == ("callback-1", "callbacks", "no callback of ours")
        assert run("replay", "callback-1").stdout == "callback-1 sent to callbacks\n"
        assert declared.take(Queue.CALLBACKS).body == "garbage"

    def test_sends_what_claims_to_be_compressed_as_it_came(
        self, declared: BrokerView, run: Callable[..., Result]
    ) -> None:
        packed, claim = zlib.compress(BODY), {"compression": "application/x-gzip"}
        put_on(declared.settings, packed, {"id": "a", "x-procos-queue": "ai", **claim})
        assert run("replay", "a").exit_code == 0
        sent = declared.take("ai")
        assert (sent.body, sent.headers["compression"]) == (packed, claim["compression"])

    def test_leaves_the_others(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        for name in "abc":
            shelve(declared.settings, name)
        assert json.loads(run("replay", "b", "--json").stdout) == [{"id": "b", "queue": "ai"}]
        assert declared.take("ai").headers["id"] == "b"
        assert [row["id"] for row in json.loads(run("dead-letters", "--json").stdout)] == ["a", "c"]

    def test_sends_all_that_lie_there(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        shelve(declared.settings, "a")
        shelve(declared.settings, "b", queue="generic")
        assert run("replay", "--all").stdout == "a sent to ai\nb sent to generic\n"
        assert [declared.take(name).headers["id"] for name in ("ai", "generic")] == ["a", "b"]
        assert run("replay", "--all").exit_code == 0

    def test_sends_once_what_a_crash_put_there_twice(self, declared: BrokerView, run: Callable[..., Result]) -> None:
        shelve(declared.settings)
        shelve(declared.settings)
        shelve(declared.settings, body=b"another message under the same id")
        assert run("replay", REF.celery_id).stdout == "task-1.1000 sent to ai\n" * 2
        assert [declared.take("ai").body for _ in range(2)] == [BODY.decode(), "another message under the same id"]
        assert declared.waiting(SHELF) == 0

    def test_answers_an_unknown_id_with_those_that_are_near(
        self, declared: BrokerView, run: Callable[..., Result]
    ) -> None:
        shelve(declared.settings)
        done = run("replay", "task-1.1001")
        assert done.exit_code == 1
        assert done.stderr == "no dead letter has the id task-1.1001; near: task-1.1000\n"
        wait_until(lambda: declared.waiting(SHELF) == 1, TIMEOUT, what="it is back")

    def test_leaves_what_no_queue_would_take_and_goes_on(
        self, declared: BrokerView, run: Callable[..., Result]
    ) -> None:
        shelve(declared.settings, "a", queue="theirs")
        put_on(declared.settings, b"x", {"id": "b"})
        shelve(declared.settings, "c")
        done = run("replay", "--all")
        assert (done.exit_code, done.stdout) == (1, "c sent to ai\n")
        assert "a stays: no route names the queue 'theirs'" in done.stderr
        assert "b stays: no header x-procos-queue" in done.stderr
        wait_until(lambda: declared.waiting(SHELF) == 2, TIMEOUT, what="both are back")

    def test_asks_for_ids_or_all(self, run: Callable[..., Result]) -> None:
        assert [run("replay").exit_code, run("replay", "a", "--all").exit_code] == [2, 2]

    def test_killed_before_the_acknowledgement_leaves_the_message_on_the_shelf(self, declared: BrokerView) -> None:
        shelve(declared.settings)
        replays = Shelf(declared.settings, ["ai", "generic"]).replay(None)
        assert next(replays).letter.id == REF.celery_id  # sent, and not acknowledged yet
        replays.close()
        assert declared.take("ai").body == BODY.decode()
        wait_until(lambda: declared.waiting(SHELF) == 1, TIMEOUT, what="it is back")

    def test_that_the_broker_does_not_confirm_removes_nothing(
        self, declared: BrokerView, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelve(declared.settings)
        shelf = Shelf(declared.settings, ["ai", "generic"])

        def without_queue(*arguments: Any, **options: Any) -> None:
            publish(*arguments, **{**options, "routing_key": "nowhere"})

        publish = bridge.moving.publish_again
        monkeypatch.setattr(bridge.shelf, "publish_again", without_queue)
        with pytest.raises(BrokerUnreachableError):
            list(shelf.replay(None))
        wait_until(lambda: declared.waiting(SHELF) == 1, TIMEOUT, what="it is back")


class TestWithoutRabbitmq:
    """Redis as the broker: unreadable results end on the shelf there too."""

    def test_shows_and_sends_what_was_buried(
        self, redis_client: redis.Redis, redis_server: Service, tmp_path: Path  # noqa: ARG002  # emptied first
    ) -> None:  # fmt: skip
        settings = BrokerSettings(url=redis_server.environment["PROCOS_REDIS_URL"])
        view, run = BrokerView(settings), commands(settings, tmp_path)
        assert run("dead-letters").output == "no dead letters\n"
        shelve(settings, "callback-1", body=b"garbage", queue="callbacks")
        for _ in range(3):
            (row,) = json.loads(run("dead-letters", "--json").stdout)
            assert (row["id"], row["queue"], row["size"]) == ("callback-1", "callbacks", 7)
        assert run("replay", "--all").stdout == "callback-1 sent to callbacks\n"
        assert view.waiting(Queue.CALLBACKS) == 1
        assert run("dead-letters").output == "no dead letters\n"


def _deliver_in_vain(view: BrokerView, times: int) -> None:
    for _ in range(times):
        wait_until(lambda: view.waiting("ai") == 1, TIMEOUT, what="it is delivered again")
        with connect(view.settings) as connection:
            channel: Any = connection.default_channel
            assert channel.basic_get("ai") is not None
