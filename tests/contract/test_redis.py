"""What only the ledger on Redis can show: outages, stored results, and the line kept for people."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import redis
from celery import states
from celery.utils.objects import Bunch

from bridge.ledger import Ledger
from bridge.ledger_values import Ended, ReportClaim, Reservation
from procos import ledger_keys as keys
from procos.app import make_app
from procos.domain.errors import LedgerUnreachableError
from procos.settings import RedisSettings, load_settings
from procos.testing import dispatch_ref
from tasks.runs import Run
from tasks.starts import Start, note_start

if TYPE_CHECKING:
    from tests.services import Service

REF = dispatch_ref()


class TestStoredResult:
    def test_of_a_success_is_kept_longer_than_a_step_may_take(
        self, redis_settings: RedisSettings, redis_ledger: Ledger, redis_client: redis.Redis
    ) -> None:
        backend = make_app(load_settings({"PROCOS_REDIS_URL": redis_settings.url}, dotenv=None)).backend
        request = Bunch(callbacks=["the bridge's"])
        backend.store_result(REF.celery_id, {"number": 7}, states.SUCCESS, request=request)
        backend.store_result("another", {}, states.SUCCESS, request=request)  # is sent when the first was answered
        meta = redis_ledger.stored_result(REF.celery_id) or {}
        assert (meta["status"], meta["result"]) == (states.SUCCESS, {"number": 7})
        assert redis_client.ttl(keys.RESULT_PREFIX + REF.celery_id) > timedelta(hours=47).total_seconds()

    def test_is_read_raw(self, redis_ledger: Ledger, redis_client: redis.Redis) -> None:
        meta = {"status": "FAILURE", "result": {"exc_type": "TaskFailed", "exc_message": ["{}"]}}
        redis_client.set(keys.RESULT_PREFIX + REF.celery_id, json.dumps(meta))
        assert redis_ledger.stored_result(REF.celery_id) == meta

    @pytest.mark.parametrize("stored", [None, "", "{broken", "[]", "7"])
    def test_is_none_for_what_is_no_result(
        self, redis_ledger: Ledger, redis_client: redis.Redis, stored: str | None
    ) -> None:
        if stored is not None:
            redis_client.set(keys.RESULT_PREFIX + REF.celery_id, stored)
        assert redis_ledger.stored_result(REF.celery_id) is None


class TestSteps:
    def test_keep_a_line_about_each_step_for_people(self, redis_ledger: Ledger, redis_client: redis.Redis) -> None:
        redis_ledger.reserve([REF], "ai", timedelta(seconds=20))
        redis_ledger.mark_published([REF])
        redis_ledger.close(REF, "ai", "completed")
        (line,) = redis_client.hvals(keys.steps(REF.process_instance_id))
        step = json.loads(line)
        assert (step["outcome"], step["activity"], step["topic"], step["queue"]) == (
            "completed",
            "step",
            "ai_query",
            "ai",
        )
        assert 0 < step["reserved_at"] <= step["published_at"] <= step["ended_at"]
        assert redis_client.ttl(keys.steps(REF.process_instance_id)) > 0

    @pytest.mark.parametrize("garbage", ["{broken", "7", "{}", '{"ended_at": "x", "token": []}'])
    def test_that_are_no_lines_stop_nothing(
        self, redis_ledger: Ledger, redis_client: redis.Redis, garbage: str
    ) -> None:
        def spoil() -> None:
            redis_client.hset(keys.steps(REF.process_instance_id), REF.external_task_id, garbage)

        spoil()
        assert redis_ledger.claim_report(REF, "ai").claim is ReportClaim.CLAIMED
        assert redis_ledger.reserve([REF], "ai", timedelta(seconds=20))[0].reservation is Reservation.NEW
        assert redis_ledger.close(REF, "ai", "completed") is not None
        spoil()
        redis_ledger.close(REF, "ai", "gone")

    def test_are_a_bounded_number_of_one_instance(
        self, redis_ledger: Ledger, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "MOST_STEPS", 2)
        for name in "abc":
            ref = replace(dispatch_ref(name), process_instance_id=REF.process_instance_id)
            assert redis_ledger.close(ref, "ai", "completed") is None
        assert sorted(redis_client.hkeys(keys.steps(REF.process_instance_id))) == [b"a", b"b"]

    @pytest.mark.parametrize(
        ("outcome", "seconds"), [("completed", keys.RESULTS_KEPT_SECONDS), ("incident", keys.STEPS_KEPT_SECONDS)]
    )
    def test_of_which_there_are_too_many_are_known_to_have_ended_for_a_while(
        self,
        redis_ledger: Ledger,
        redis_client: redis.Redis,
        monkeypatch: pytest.MonkeyPatch,
        outcome: str,
        seconds: int,
    ) -> None:
        monkeypatch.setattr(keys, "MOST_STEPS", 0)
        redis_ledger.close(REF, "ai", outcome)
        assert redis_client.ttl(keys.ended(REF.external_task_id)) == pytest.approx(seconds, abs=5)
        assert not redis_client.exists(keys.steps(REF.process_instance_id))

    def test_that_went_on_after_an_incident_keep_their_line_among_many(
        self, redis_ledger: Ledger, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "MOST_STEPS", 1)
        for outcome in ("incident", "completed"):
            redis_ledger.close(REF, "ai", outcome)
        (line,) = redis_client.hvals(keys.steps(REF.process_instance_id))
        assert json.loads(line)["outcome"] == "completed"
        assert not redis_client.exists(keys.ended(REF.external_task_id))


class TestCancelled:
    def test_is_kept_for_days_and_not_for_ever(self, redis_ledger: Ledger, redis_client: redis.Redis) -> None:
        redis_ledger.cancel(REF, "ai")
        key = keys.cancelled(REF.external_task_id)
        assert redis_client.get(key) == str(REF.token).encode()
        assert redis_client.ttl(key) == pytest.approx(keys.CANCELLED_KEPT_SECONDS, abs=5)


class TestBackingOff:
    def test_is_forgotten_some_time_after_the_retry_was_due(
        self, redis_ledger: Ledger, redis_client: redis.Redis
    ) -> None:
        redis_ledger.back_off(REF, "ai", timedelta(seconds=30), same_try=False)
        ttl = redis_client.ttl(keys.entry(REF.external_task_id))
        assert ttl == pytest.approx(keys.STEPS_KEPT_SECONDS + 30, abs=5)

    def test_is_not_forgotten_once_it_goes_on(self, redis_ledger: Ledger, redis_client: redis.Redis) -> None:
        redis_ledger.back_off(REF, "ai", timedelta(seconds=30), same_try=False)
        redis_ledger.reserve([dispatch_ref(token=2000)], "ai", timedelta(seconds=20))
        assert redis_client.ttl(keys.entry(REF.external_task_id)) == -1


class TestLostAnswer:
    def test_to_an_end_is_given_again(self, redis_ledger: Ledger) -> None:
        redis_ledger.reserve([REF, dispatch_ref("another")], "ai", timedelta(seconds=20))
        redis_ledger.close(dispatch_ref("another"), "ai", "completed")
        end, answers, read = Ended(ref=REF, queue="ai", outcome="completed"), [], redis.Connection.read_response

        def hang_up(*args: Any, **options: Any) -> None:
            answers.append(read(*args, **options))
            raise redis.ConnectionError("Connection closed by server.")

        with patch.object(redis.Connection, "read_response", hang_up), pytest.raises(LedgerUnreachableError):
            redis_ledger.close_all([end])
        assert redis_ledger.close_all([end]) == [timedelta(milliseconds=age) for age in answers]
        assert len(answers) == 1


class TestOutage:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [("redis://127.0.0.1:1/0", "refused"), ("redis://:wrong@{address}", "credentials are refused")],
    )
    def test_is_told_with_address_and_cure(self, redis_server: Service, url: str, reason: str) -> None:
        url = url.format(address=redis_server.part.address.removeprefix("redis://"))
        with pytest.raises(LedgerUnreachableError, match=rf"{reason}.*PROCOS_REDIS_URL") as outage:
            Ledger(RedisSettings(url=url)).ping()
        assert "wrong" not in str(outage.value)

    @pytest.mark.usefixtures("redis_client")  # an empty one
    def test_of_a_frozen_server_ends_within_the_timeout(self, redis_server: Service) -> None:
        settings = RedisSettings(url=redis_server.environment["PROCOS_REDIS_URL"], timeout=0.2)
        ledger = Ledger(settings)
        ledger.ping()
        redis_server.freeze()
        try:
            with pytest.raises(LedgerUnreachableError):
                ledger.in_flight("ai")
            assert note_start(Run(ref=REF, queue="ai", worker="w"), max_starts=1, settings=settings) is Start.RUN
        finally:
            redis_server.freeze(frozen=False)
        assert ledger.in_flight("ai") == 0
