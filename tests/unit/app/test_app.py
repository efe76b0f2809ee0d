"""The Celery app: what follows from settings and command line."""

from __future__ import annotations

from typing import Any

import pytest

from procos.app import AI_SLOTS, check_consumed, consumed_queues, make_app
from procos.domain.errors import SettingsError
from procos.queues import SHELF, Queue, dead, topology
from procos.routes import by_queue, routes
from procos.settings import load_settings
from procos.task_messages import COMPLETE, FAIL


class TestConsumedQueues:
    @pytest.mark.parametrize(
        ("arguments", "queues"),
        [
            ([], []),
            (["worker"], []),
            (["worker", "-Q", "ai"], ["ai"]),
            (["worker", "-Qai"], ["ai"]),
            (["worker", "--queues", "ai,generic"], ["ai", "generic"]),
            (["worker", "--queues=ai,generic", "-c", "2"], ["ai", "generic"]),
            (["worker", "-Q"], []),
        ],
    )
    def test_are_read_from_the_command_line(self, arguments: list[str], queues: list[str]) -> None:
        assert consumed_queues(["celery", "-A", "procos.app", *arguments]) == queues

    @pytest.mark.parametrize(
        ("queue", "cure"), [("generik", r"did you mean generic\?"), ("reports", "is the package .* installed here")]
    )
    def test_are_refused_where_nothing_would_ever_come(self, queue: str, cure: str) -> None:
        check_consumed(["ai", "generic"])
        with pytest.raises(SettingsError, match=f"no route names queue '{queue}'; known: ai, generic; {cure}"):
            check_consumed(["ai", queue])


class TestMakeApp:
    def test_gives_ai_alone_threads_and_everything_else_processes(self) -> None:
        settings = load_settings({}, dotenv=None)
        conf = make_app(settings, queues=["ai"]).conf
        assert (conf.worker_pool, conf.worker_concurrency, conf.broker_heartbeat) == ("threads", AI_SLOTS, 0)
        for queues in ([], ["generic"], ["ai", "generic"]):
            assert make_app(settings, queues=queues).conf.worker_pool == "prefork"

    def test_takes_the_concurrency_that_was_set(self) -> None:
        settings = load_settings({"PROCOS_WORKER_CONCURRENCY": "5"}, dotenv=None)
        assert make_app(settings, queues=["ai"]).conf.worker_concurrency == 5

    def test_consumes_task_queues_alone_when_none_is_named(self) -> None:
        conf = make_app(load_settings({}, dotenv=None)).conf
        assert {queue.name for queue in conf.task_queues} == {"ai", "generic"}

    def test_speaks_json_alone(self) -> None:
        conf = make_app(load_settings({}, dotenv=None)).conf
        assert conf.accept_content == conf.result_accept_content == ["json"]
        assert conf.task_serializer == "json"

    def test_keeps_results_for_longer_than_any_dispatch_may_take(self) -> None:
        settings = load_settings({}, dotenv=None)
        assert make_app(settings).conf.result_expires > settings.bridge.largest_age

    def test_never_gives_up_publishing_a_callback(self) -> None:
        policy = make_app(load_settings({}, dotenv=None)).conf.task_publish_retry_policy
        assert policy["max_retries"] * policy["interval_max"] > 10 * 365 * 24 * 3600

    def test_stores_no_results_in_the_bridge(self) -> None:
        assert make_app(load_settings({}, dotenv=None), with_results=False).conf.result_backend is None


class TestTopology:
    def test_gives_every_queue_its_dead_letters(self) -> None:
        names = {queue.name for queue in topology(["ai", "generic"])}
        for name in ("ai", "generic"):
            assert {name, dead(name)} <= names
        assert {Queue.CALLBACKS, SHELF} <= names

    def test_limits_deliveries_of_tasks_and_never_of_results(self) -> None:
        limits = {queue.name: (queue.queue_arguments or {}).get("x-delivery-limit") for queue in topology(["ai"])}
        assert limits["ai"] == 5
        assert limits[Queue.CALLBACKS] is None

    def test_holds_every_queue_a_route_names(self) -> None:
        assert {route.queue for route in routes().values()} == set(by_queue())


class TestCallback:
    @pytest.fixture
    def app(self) -> Any:
        return make_app(load_settings({}, dotenv=None))

    @pytest.fixture
    def sent(self, app: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What is handed to Celery's sender: the producer, the message, and where it goes."""
        calls: list[Any] = []
        monkeypatch.setattr(app.amqp, "send_task_message", lambda *call, **where: calls.append((*call, where)))
        return calls

    def test_goes_over_the_producer_that_its_thread_holds(
        self, app: Any, sent: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise AssertionError("a second producer for one thread starves the pool")

        monkeypatch.setattr(type(app), "producer_pool", property(lambda _: refuse()))
        held = object()
        where = {"exchange": "procos", "routing_key": "callbacks"}
        assert app.send_task(FAIL, ["id"], {"dispatch": {}}, producer=held, ignore_result=True, **where) is None
        ((producer, name, message, to),) = sent
        assert (producer, name, to) == (held, FAIL, where)
        assert message.body[:2] == (["id"], {"dispatch": {}})

    def test_knows_the_task_it_belongs_to(self, app: Any, sent: list[Any]) -> None:
        app.send_task(
            COMPLETE, ({"a": 1},), {}, producer=object(), parent_id="p", root_id="r", exchange="", routing_key=""
        )
        headers = sent[0][2].headers
        assert (headers["task"], headers["parent_id"], headers["root_id"]) == (COMPLETE, "p", "r")
        assert headers["id"] == sent[0][2].properties["correlation_id"] != "p"
