"""Answers kept, and how far one is, on a real Redis."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from procos import ai_keys as keys
from procos import ledger_keys
from procos.domain.errors import BusinessError, PermanentError, RateLimited, TaskError, TransientError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.settings import load_settings
from procos.steps import AiCall, Steps
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.conversation import FinishReason, ToolCall
from tasks.ai.kept_answers import LARGEST_BYTES, KeptAnswers
from tasks.ai.progress import Progress
from tests.ai_samples import answer, context_of
from tests.scripted_provider import scripted_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from procos.settings import RedisSettings
    from tests.scripted_provider import ScriptedProvider

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
            json.dumps({"procos": 1, "code": "REFUSED", "message": "no", "variables": 7}),
            json.dumps({"procos": 1, "code": "REFUSED"}),
            json.dumps({"procos": 1, "code": ["REFUSED"], "message": ""}),
            json.dumps({"procos": 1, "code": "BUDGET_EXCEEDED", "message": "", "variables": {}}),
            json.dumps({"procos": 2, "code": "REFUSED", "message": "", "variables": {}}),
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


class TestRefusal:
    """Asked of a provider that refuses: each run of the step ends alike, and only the first one asks."""

    @pytest.fixture
    def provider(self) -> Iterator[ScriptedProvider]:
        with scripted_provider() as server:
            yield server

    @pytest.fixture
    def outcome(
        self, provider: ScriptedProvider, redis_client: redis.Redis, redis_settings: RedisSettings,  # noqa: ARG002  # emptied first
    ) -> Callable[..., TaskError]:  # fmt: skip
        settings = load_settings(
            {
                "PROCOS_OPENAI_API_KEY": "any",
                "PROCOS_OPENAI_BASE_URL": provider.url,
                "PROCOS_OPENAI_MODEL": "m",
                "PROCOS_REDIS_URL": redis_settings.url,
            },
            dotenv=None,
        )

        def run(query: str, step: ExternalTaskId = STEP, **variables: Any) -> TaskError:
            context = context_of(settings, external_task_id=step)
            with pytest.raises(TaskError) as raised:
                ai_query(AiQueryInput(user_query=query, provider="openai", **variables), context)
            return raised.value

        return run

    @pytest.mark.parametrize(
        ("query", "code", "variables"),
        [
            ("be refused", "REFUSED", {"refusal": "I won't."}),
            ("be filtered", "CONTENT_FILTERED", {}),
        ],
    )
    def test_is_paid_for_once(
        self,
        outcome: Callable[..., TaskError],
        provider: ScriptedProvider,
        query: str,
        code: str,
        variables: dict[str, str],
    ) -> None:
        first, again = outcome(query), outcome(query)
        assert len(provider.asked) == 1
        for error in (first, again):
            assert isinstance(error, BusinessError)
            assert (error.code, error.variables) == (code, variables)
        assert str(again) == str(first)

    def test_may_be_an_answer_without_a_word(
        self, outcome: Callable[..., TaskError], provider: ScriptedProvider
    ) -> None:
        first, again = outcome("be speechless"), outcome("be speechless")
        assert len(provider.asked) == 1
        for error in (first, again):
            assert isinstance(error, PermanentError)
            assert error.code == "NO_ANSWER"
        assert str(again) == str(first)
        outcome("be speechless", max_tokens=2000)
        assert len(provider.asked) == 2

    def test_is_that_of_its_step_and_question(
        self, outcome: Callable[..., TaskError], provider: ScriptedProvider
    ) -> None:
        outcome("be refused")
        outcome("be refused, please")
        outcome("be refused", ExternalTaskId("task-2"))
        assert len(provider.asked) == 3

    def test_is_kept_as_long_as_an_answer(self, outcome: Callable[..., TaskError], redis_client: redis.Redis) -> None:
        outcome("be refused")
        (key,) = redis_client.keys(keys.answer(STEP, "*"))
        assert redis_client.ttl(key) == pytest.approx(86_400, abs=5)

    @pytest.mark.parametrize(
        "error",
        [
            BusinessError("CONTEXT_TOO_LONG"),
            TransientError("empty", code="NO_ANSWER"),
            PermanentError("no", code="AUTH_FAILED"),
            RateLimited("patience", retry_in=timedelta(seconds=1)),
        ],
        ids=lambda error: getattr(error, "code", "RATE_LIMITED"),
    )
    def test_is_not_what_another_try_may_change(
        self, kept: KeptAnswers, redis_client: redis.Redis, error: TaskError
    ) -> None:
        kept.keep(STEP, REQUEST, error)
        assert redis_client.exists(KEY) == 0


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
