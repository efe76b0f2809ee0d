"""What providers decline, on a real Redis: what one worker finds out all leave out, and finding out keeps to limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import RateLimited
from procos.settings import load_settings
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.declined_parts import LOOK_SECONDS, REMEMBERED_SECONDS, DeclinedParts, declined_parts
from tests.ai_samples import context_of, shift
from tests.hand_clock import HandClock
from tests.scripted_provider import scripted_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from procos.settings import RedisSettings
    from tests.scripted_provider import ScriptedProvider

PROVIDER, MODEL = "mistral", "small"
KEY = keys.declined(PROVIDER, MODEL)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def worker(
    redis_client: redis.Redis,  # noqa: ARG001  # emptied first
    redis_settings: RedisSettings,
    clock: HandClock,
) -> Callable[[], DeclinedParts]:
    """Return a builder of workers, which know nothing yet."""
    return lambda: DeclinedParts(redis_settings.url, clock=clock)


class TestDeclinedParts:
    def test_are_known_to_a_worker_that_starts(self, worker: Callable[[], DeclinedParts]) -> None:
        worker().note(PROVIDER, MODEL, "temperature")
        assert worker().of(PROVIDER, MODEL) == {"temperature"}
        assert worker().of(PROVIDER, "large") == frozenset()

    def test_are_known_within_a_minute_to_one_that_has_looked(
        self, worker: Callable[[], DeclinedParts], clock: HandClock
    ) -> None:
        one, other = worker(), worker()
        other.of(PROVIDER, MODEL)
        one.note(PROVIDER, MODEL, "temperature")
        assert other.of(PROVIDER, MODEL) == frozenset()
        clock.now += LOOK_SECONDS
        assert other.of(PROVIDER, MODEL) == {"temperature"}

    def test_are_all_known_to_one_that_finds_out_another(self, worker: Callable[[], DeclinedParts]) -> None:
        one, other = worker(), worker()
        other.of(PROVIDER, MODEL)
        one.note(PROVIDER, MODEL, "temperature")
        other.note(PROVIDER, MODEL, "stream")
        assert other.of(PROVIDER, MODEL) == {"temperature", "stream"}

    def test_are_forgotten_after_ten_minutes(
        self, worker: Callable[[], DeclinedParts], redis_client: redis.Redis, clock: HandClock
    ) -> None:
        one = worker()
        one.note(PROVIDER, MODEL, "temperature")
        assert redis_client.ttl(KEY) == pytest.approx(REMEMBERED_SECONDS, abs=5)
        redis_client.delete(KEY)
        clock.now += LOOK_SECONDS
        assert one.of(PROVIDER, MODEL) == frozenset()

    def test_are_asked_of_redis_once_a_minute(
        self, worker: Callable[[], DeclinedParts], redis_client: redis.Redis, clock: HandClock
    ) -> None:
        one = worker()
        before = _times_asked(redis_client)
        for _ in range(10):
            one.of(PROVIDER, MODEL)
        clock.now += LOOK_SECONDS
        one.of(PROVIDER, MODEL)
        assert _times_asked(redis_client) - before == 2


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as server:
        server.declines = ("stream_options", "temperature")
        yield server


@pytest.fixture
def ask(
    provider: ScriptedProvider, redis_client: redis.Redis, redis_settings: RedisSettings
) -> Callable[[], str]:  # fmt: skip
    """Run the step in a worker that starts, a minute after it was last run; one request a minute is allowed."""
    settings = load_settings(
        {
            "PROCOS_PROVIDERS__MISTRAL__URL": provider.url,
            "PROCOS_PROVIDERS__MISTRAL__MODEL": MODEL,
            "PROCOS_PROVIDERS__MISTRAL__REQUESTS_PER_MINUTE": "1",
            "PROCOS_PROVIDERS__MISTRAL__AT_ONCE": "1",
            "PROCOS_REDIS_URL": redis_settings.url,
        },
        dotenv=None,
    )

    def ask() -> str:
        declined_parts.cache_clear()
        shift(redis_client, PROVIDER, milliseconds=62_500)
        return ai_query(AiQueryInput(user_query="why?", provider=PROVIDER), context_of(settings)).ai_response

    return ask


class TestQuestionThatIsDeclined:
    def test_is_asked_again_when_there_is_room_and_without_what_was_declined(
        self, ask: Callable[[], str], provider: ScriptedProvider, redis_client: redis.Redis
    ) -> None:
        for sent in (1, 2):
            with pytest.raises(RateLimited) as later:
                ask()
            assert len(provider.asked) == sent
            assert later.value.retry_in.total_seconds() == pytest.approx(62.5, abs=1)
            assert redis_client.zcard(keys.places(PROVIDER)) == 0
        assert redis_client.exists(keys.refused(PROVIDER)) == 0
        assert ask() == "42"
        assert [sorted({"stream_options", "temperature"} & set(each)) for each in provider.asked] == [
            ["stream_options", "temperature"], ["temperature"], [],
        ]  # fmt: skip

    def test_is_asked_as_it_must_be_by_all_others(
        self, ask: Callable[[], str], worker: Callable[[], DeclinedParts], provider: ScriptedProvider
    ) -> None:
        for part in provider.declines:
            worker().note(PROVIDER, MODEL, part)
        assert ask() == "42"
        assert len(provider.asked) == 1


def _times_asked(store: redis.Redis) -> int:
    return int(store.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"])
