"""Every way a Celery task can end without its callback ends in a verdict all the same, within a bounded time.

The ids are the rows of Celery's behaviour: what happened to the task, as an operator would say it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.publisher import Receipt
from procos.queues import EXCHANGE, Queue, connect
from tests.services import wait_until
from tests.worker.bridge_lab import LOST_AFTER, QUEUE, BridgeLab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celery import Celery
    from pytest_celery import CeleryTestSetup

    from bridge.publisher import Publication
    from procos.settings import Settings
    from tests.broker_view import BrokerView

VERDICT_SECONDS = 45.0
CALLBACKS = {"task": "procos.complete"}


@pytest.fixture
def worker_arguments() -> list[str]:
    return ["-Q", QUEUE, "-c", "1"]


@pytest.fixture
def lost_after() -> timedelta:
    """How long a dispatch may be silent."""
    return LOST_AFTER


@pytest.fixture
def lab(
    celery_setup: CeleryTestSetup, broker: BrokerView, settings: Settings, lost_after: timedelta
) -> Iterator[BridgeLab]:
    assert celery_setup.ready(control=True)
    broker.declare()
    lab = BridgeLab(settings, lost_after)
    yield lab
    lab.close()


@pytest.fixture
def ends_in(lab: BridgeLab) -> Callable[..., str]:
    """Let a step arrive, and wait for how it ends."""

    def run(topic: str, **variables: object) -> str:
        task_id = lab.step(topic, **variables)
        wait_until(lambda: lab.verdict(task_id), VERDICT_SECONDS, what="the step has its verdict")
        wait_until(lambda: lab.ledger.in_flight(QUEUE) == 0, VERDICT_SECONDS, what="nothing is in flight")
        return lab.verdict(task_id)

    return run


@pytest.fixture
def publish_instead(lab: BridgeLab, settings: Settings) -> Callable[..., None]:
    """Publish something else than the bridge would, the first `times` times."""

    def replace(change: Callable[[dict[str, Any]], None], *, times: int = 1) -> None:
        left = [times]

        def tamper(publications: Sequence[Publication]) -> Sequence[Receipt] | None:
            if left[0] == 0:
                return None
            left[0] -= 1
            for publication in publications:
                _publish(settings, publication, change)
            return [Receipt.CONFIRMED] * len(publications)

        lab.publisher.tamper = tamper

    return replace


def _publish(settings: Settings, publication: Publication, change: Callable[[dict[str, Any]], None]) -> None:
    """Publish a dispatch as a Celery message without callbacks, as `change` wants it."""
    dispatch = publication.dispatch
    message: dict[str, Any] = {
        "body": [[], dispatch.to_kwargs(), {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
        "headers": {"task": publication.route.task_name, "id": dispatch.ref.celery_id, "lang": "py"},
        "content_type": "application/json",
    }
    change(message)
    body = message["body"]
    with connect(settings.broker) as connection:
        channel: Any = connection.channel()
        prepared = channel.prepare_message(
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            content_type=message["content_type"],
            content_encoding="utf-8",
            headers=message["headers"],
            properties={"delivery_mode": 2, "correlation_id": dispatch.ref.celery_id},
        )
        channel.basic_publish(prepared, exchange=EXCHANGE.name, routing_key=publication.route.queue)


class TestResult:
    @pytest.mark.parametrize(
        ("topic", "how", "verdict"),
        [
            pytest.param("values", "", "completed", id="success-callback-lost"),
            pytest.param("fail", "permanent", "no retry can help", id="failure-errback-lost"),
            pytest.param("plain", "reject", "Reject", id="rejected-without-requeue"),
        ],
    )
    def test_that_is_stored_is_reported(
        self,
        ends_in: Callable[..., str],
        publish_instead: Callable[..., None],
        tmp_path: Any,
        topic: str,
        how: str,
        verdict: str,
    ) -> None:
        publish_instead(lambda _: None, times=2)
        assert verdict in ends_in(topic, how=how, error=how, effects_file=str(tmp_path / "effects"))

    def test_of_a_task_that_had_expired_is_an_incident(
        self, ends_in: Callable[..., str], publish_instead: Callable[..., None]
    ) -> None:
        past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        publish_instead(lambda message: message["headers"].update(expires=past))
        assert "expired" in ends_in("values")

    @pytest.mark.parametrize("terminate", [False, True], ids=["revoked-before-start", "terminated-while-running"])
    def test_of_a_task_that_was_revoked_is_an_incident(
        self,
        lab: BridgeLab,
        ends_in: Callable[..., str],
        celery_setup_app: Celery,
        terminate: bool,  # noqa: FBT001
    ) -> None:
        def revoke(publications: Sequence[Publication]) -> None:
            ids = [publication.dispatch.ref.celery_id for publication in publications]
            celery_setup_app.control.revoke(ids)

        if terminate:
            task_id = lab.step("plain", how="hang")
            wait_until(lambda: lab.publisher.published, 20, what="it is published")
            celery_id = lab.publisher.published[0].dispatch.ref.celery_id
            inspect = celery_setup_app.control.inspect
            wait_until(lambda: celery_id in str(inspect(timeout=1).active()), 20, what="it runs")
            celery_setup_app.control.revoke(celery_id, terminate=True)
            wait_until(lambda: lab.verdict(task_id), VERDICT_SECONDS, what="the step has its verdict")
            assert "stopped by Celery's remote control" in lab.verdict(task_id)
        else:
            lab.publisher.tamper = revoke
            assert "stopped by Celery's remote control" in ends_in("values")


class TestDeadLetter:
    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            pytest.param(
                lambda message: message.update(content_type="application/x-yaml"), "x-yaml", id="content-refused"
            ),
            pytest.param(lambda message: message.update(body=[[], {}]), "completed", id="wrong-shape"),
            pytest.param(lambda message: message.update(body=b"{"), "completed", id="invalid-json"),
            pytest.param(lambda message: message.update(body=b'"\xff"'), "completed", id="bad-utf8"),
            pytest.param(lambda message: message["body"].__setitem__(1, [1]), "completed", id="kwargs-not-a-mapping"),
            pytest.param(lambda message: message["headers"].pop("id"), "malformed", id="header-without-id"),
        ],
    )
    def test_ends_in_a_verdict(
        self,
        celery_setup: CeleryTestSetup,
        ends_in: Callable[..., str],
        publish_instead: Callable[..., None],
        change: Callable[[dict[str, Any]], None],
        verdict: str,
    ) -> None:
        """Where the dispatch can be read an incident names the reason; else the step is dispatched again."""
        publish_instead(change)
        assert verdict in ends_in("values")
        assert celery_setup.worker.container.status == "running"

    def test_of_an_unregistered_task_names_it(self, ends_in: Callable[..., str]) -> None:
        assert "sample.unheard_of" in ends_in("unheard_of")

    def test_of_a_task_that_is_returned_for_ever_says_so(self, ends_in: Callable[..., str]) -> None:
        assert "delivered 6 times" in ends_in("plain", how="requeue")

    @pytest.mark.parametrize("lost_after", [timedelta(minutes=1)])
    def test_of_a_task_without_counted_starts_that_kills_its_process_says_so(self, ends_in: Callable[..., str]) -> None:
        assert "delivered 6 times" in ends_in("plain", how="kill")


class TestSilence:
    def test_of_an_ignored_task_ends_in_an_incident(self, lab: BridgeLab, ends_in: Callable[..., str]) -> None:
        assert "message or worker disappeared without a result" in ends_in("plain", how="ignore")
        assert len({p.dispatch.ref.celery_id for p in lab.publisher.published}) == 3

    def test_of_a_message_that_was_purged_is_dispatched_again(
        self, lab: BridgeLab, ends_in: Callable[..., str]
    ) -> None:
        def lose_it(_: Sequence[Publication]) -> Sequence[Receipt]:
            lab.publisher.tamper = lambda _: None
            return [Receipt.CONFIRMED]

        lab.publisher.tamper = lose_it
        assert ends_in("values") == "completed"

    def test_of_a_worker_that_is_gone_with_its_message_is_dispatched_again(
        self, lab: BridgeLab, celery_setup: CeleryTestSetup, broker: BrokerView, tmp_path: Any
    ) -> None:
        effects = tmp_path / "effects"
        task_id = lab.step("sleep", seconds=3, effects_file=str(effects))
        wait_until(effects.exists, 20, what="the task has started")
        celery_setup.worker.kill()
        wait_until(lambda: broker.waiting(QUEUE) == 1, 20, what="its message came back")
        broker.take(QUEUE, 5)
        celery_setup.worker.restart()
        wait_until(lambda: lab.verdict(task_id), VERDICT_SECONDS, what="the step has its verdict")
        assert lab.verdict(task_id) == "completed"

    def test_of_a_killed_child_is_followed_by_a_second_start(self, ends_in: Callable[..., str]) -> None:
        assert ends_in("plain", how="kill once") == "completed"

    def test_of_a_lost_outbox_is_broken_by_the_stored_result(
        self, lab: BridgeLab, ends_in: Callable[..., str], broker: BrokerView
    ) -> None:
        def lose_the_outbox(_: Sequence[Publication]) -> None:
            lab.publisher.tamper = lambda _: None
            broker.delete(Queue.CALLBACKS)

        lab.publisher.tamper = lose_the_outbox
        assert ends_in("values") == "completed"
