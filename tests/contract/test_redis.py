"""What only the ledger on Redis can show: outages, stored results, and the line kept for people."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.ledger import Ledger
from procos import ledger_keys as keys
from procos.domain.errors import LedgerUnreachableError
from procos.settings import RedisSettings
from procos.testing import dispatch_ref
from tasks.starts import Start, note_start

if TYPE_CHECKING:
    import redis

    from tests.services import Service

REF = dispatch_ref()


class TestStoredResult:
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

    def test_of_a_frozen_server_ends_within_the_timeout(self, redis_server: Service) -> None:
        settings = RedisSettings(url=redis_server.environment["PROCOS_REDIS_URL"], timeout=0.2)
        ledger = Ledger(settings)
        ledger.ping()
        redis_server.freeze()
        try:
            with pytest.raises(LedgerUnreachableError):
                ledger.in_flight("ai")
            assert note_start(REF, "worker", max_starts=1, settings=settings) is Start.RUN
        finally:
            redis_server.freeze(frozen=False)
        assert ledger.in_flight("ai") == 0
