"""Answers kept, and how far one is, on a real Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from procos import ai_keys as keys
from procos import ledger_keys
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.steps import AiCall, Steps
from tasks.ai.conversation import FinishReason, ToolCall
from tasks.ai.kept_answers import LARGEST_BYTES, KeptAnswers
from tasks.ai.progress import Progress
from tests.ai_samples import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from procos.settings import RedisSettings

STEP, REQUEST = ExternalTaskId("task-1"), "0" * 64
KEY = keys.answer(STEP, REQUEST)


@pytest.fixture
def kept(redis_client: redis.Redis, redis_settings: RedisSettings) -> KeptAnswers:  # noqa: ARG001  # emptied first
    return KeptAnswers(redis_settings.url, kept_seconds=600)


class TestKeptAnswer:
    def test_comes_back_as_it_was(self, kept: KeptAnswers) -> None:
        given = answer(
            "café 😀",
            finish_reason=FinishReason.TOOL_CALLS,
            usage={"prompt_tokens": 3, "completion_tokens": 4},
            tool_calls=(ToolCall(id="1", name="weather", arguments='{"where": "here"}'),),
            was_cleaned=True,
        )
        kept.keep(STEP, REQUEST, given)
        assert kept.find(STEP, REQUEST) == given

    def test_is_not_that_of_another_request_or_step(self, kept: KeptAnswers) -> None:
        kept.keep(STEP, REQUEST, answer())
        assert kept.find(STEP, "1" * 64) is None
        assert kept.find(ExternalTaskId("task-2"), REQUEST) is None

    def test_is_kept_as_long_as_is_set(self, kept: KeptAnswers, redis_client: redis.Redis) -> None:
        kept.keep(STEP, REQUEST, answer())
        assert redis_client.ttl(KEY) == pytest.approx(600, abs=5)

    def test_that_is_too_large_is_not_kept(self, kept: KeptAnswers, redis_client: redis.Redis) -> None:
        with capture_logs() as logs:
            kept.keep(STEP, REQUEST, answer("x" * LARGEST_BYTES))
        assert redis_client.exists(KEY) == 0
        assert [entry["event"] for entry in logs] == ["ai.answer_not_kept"]

    @pytest.mark.parametrize(
        "broken",
        [
            "",
            "{broken",
            "[]",
            "7",
            "null",
            "{}",
            '{"procos": 2, "text": "42"}',
            json.dumps({"procos": 1, "text": 42}),
            json.dumps({"procos": 1, "text": "", "model": "m", "finish_reason": "tired", "usage": {}}),
            json.dumps({"procos": 1, "text": "", "model": "m", "finish_reason": "stop", "usage": []}),
            json.dumps(
                {"procos": 1, "text": "", "model": "m", "finish_reason": "stop", "usage": {}, "tool_calls": [{"a": 1}]}
            ),
            b"\xff\xfe",
        ],
    )
    def test_that_cannot_be_read_counts_as_none(
        self, kept: KeptAnswers, redis_client: redis.Redis, broken: str | bytes
    ) -> None:
        redis_client.set(KEY, broken)
        with capture_logs() as logs:
            assert kept.find(STEP, REQUEST) is None
        assert [entry["event"] for entry in logs] == ["ai.kept_answer_unreadable"]


class TestProgress:
    def test_is_seen_by_who_looks_at_the_step_until_it_ends(
        self, redis_client: redis.Redis, redis_settings: RedisSettings
    ) -> None:
        redis_client.hset(ledger_keys.entry(STEP), mapping={"state": "started", "topic": "ai_query", "queue": "ai"})
        steps = Steps(redis_settings)

        def seen() -> AiCall | None:
            return steps.of(ProcessInstanceId("instance-1"), [STEP])[STEP].ai_call

        assert seen() is None
        with Progress(redis_settings.url, STEP, provider="ollama", model="llama3.2", clock=_always_later()) as progress:
            for piece in ("Process", " engines", " are"):
                progress.said(piece)
            call = seen()
            assert call is not None
            assert (call.provider, call.model, call.tokens) == ("ollama", "llama3.2", 4)
            assert 0 <= call.seconds < 60
            assert "Process" not in str(redis_client.hgetall(keys.progress(STEP)))
            assert 0 < redis_client.ttl(keys.progress(STEP)) <= 60
        assert seen() is None

    def test_counts_from_the_beginning_of_each_request(
        self, redis_client: redis.Redis, redis_settings: RedisSettings
    ) -> None:
        redis_client.hset(keys.progress(STEP), mapping={"since": 1, "tokens": 900})
        with Progress(redis_settings.url, STEP, provider="ollama", model="llama3.2"):
            shown = redis_client.hgetall(keys.progress(STEP))
        assert shown[b"tokens"] == b"0"
        assert int(shown[b"since"]) > 1


def _always_later() -> Callable[[], float]:
    moments = iter(range(0, 1000, 2))
    return lambda: float(next(moments))
