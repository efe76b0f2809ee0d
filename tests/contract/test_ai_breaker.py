"""The breaker on a real Redis: what opens it, who may try, and what several processes make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import BusinessError, PermanentError, RateLimited, StepCancelled, TransientError
from tasks.ai.breaker import Breakers
from tests.ai_samples import HealthyOrNot
from tests.contract.ai_competitors import compete

if TYPE_CHECKING:
    import redis

    from procos.settings import RedisSettings

BROKEN = TransientError("it is broken", code="PROVIDER_FAILED")
NAME = "mistral"


class Lab:
    """Two workers, and a provider that is healthy or not."""

    def __init__(self, store: redis.Redis, url: str) -> None:
        self.store = store
        self.here, self.there = (Breakers(url, failures=3, rest=timedelta(seconds=20)) for _ in range(2))
        self.provider = HealthyOrNot()

    def fail(self, times: int, error: BaseException = BROKEN) -> None:
        for _ in range(times):
            self.here.note(self.provider, error)

    def end_rest(self) -> None:
        self.store.delete(keys.breaker_rest(NAME), keys.breaker_trial(NAME))

    def refused_for(self, breakers: Breakers) -> float:
        with pytest.raises(TransientError) as refused:
            breakers.refuse_if_open(self.provider)
        assert refused.value.code == "PROVIDER_UNAVAILABLE"
        assert refused.value.retry_in is not None
        return refused.value.retry_in.total_seconds()


@pytest.fixture
def lab(redis_client: redis.Redis, redis_settings: RedisSettings) -> Lab:
    return Lab(redis_client, redis_settings.url)


class TestClosed:
    def test_lets_everybody_ask(self, lab: Lab) -> None:
        lab.here.refuse_if_open(lab.provider)
        assert lab.here.state(NAME) == "closed"

    def test_opens_for_all_after_failures_in_a_row(self, lab: Lab) -> None:
        lab.fail(2)
        lab.there.refuse_if_open(lab.provider)
        lab.fail(1)
        assert lab.refused_for(lab.there) == pytest.approx(20, abs=1)
        assert [lab.here.state(NAME), lab.there.state(NAME)] == ["open", "open"]

    def test_counts_the_failures_of_all_workers(self, lab: Lab) -> None:
        for breakers in (lab.here, lab.there, lab.here):
            breakers.note(lab.provider, BROKEN)
        assert lab.here.state(NAME) == "open"

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            RateLimited("patience", retry_in=timedelta(seconds=5)),
            PermanentError("no key", code="AUTH_FAILED"),
            BusinessError("CONTENT_FILTERED"),
            TransientError("empty", code="NO_ANSWER"),
        ],
        ids=str,
    )
    def test_counts_anew_after_an_answer_of_any_kind(self, lab: Lab, answer: BaseException | None) -> None:
        lab.fail(2)
        lab.here.note(lab.provider, answer)
        lab.fail(2)
        assert lab.here.state(NAME) == "closed"

    def test_learns_nothing_from_a_step_that_was_cancelled(self, lab: Lab) -> None:
        lab.fail(2)
        lab.here.note(lab.provider, StepCancelled("cancelled"))
        lab.fail(1)
        assert lab.here.state(NAME) == "open"

    @pytest.mark.parametrize(
        "code",
        ["PROVIDER_UNREACHABLE", "PROVIDER_TIMED_OUT", "PROVIDER_STALLED", "PROVIDER_BROKE_OFF", "PROVIDER_FAILED"],
    )
    def test_counts_every_trouble_of_the_provider_itself(self, lab: Lab, code: str) -> None:
        lab.fail(3, TransientError("trouble", code=code))
        assert lab.here.state(NAME) == "open"

    def test_is_one_for_each_provider(self, lab: Lab) -> None:
        lab.fail(3)
        lab.here.refuse_if_open(HealthyOrNot(name="another"))


class TestOpen:
    def test_calls_nobody_while_it_rests(self, lab: Lab) -> None:
        lab.fail(3)
        lab.refused_for(lab.here)
        assert lab.provider.checks == 0

    def test_is_half_open_when_the_rest_is_over(self, lab: Lab) -> None:
        lab.fail(3)
        lab.end_rest()
        assert lab.there.state(NAME) == "half-open"

    def test_closes_when_the_provider_is_healthy_again(self, lab: Lab) -> None:
        lab.fail(3)
        lab.end_rest()
        lab.there.refuse_if_open(lab.provider)
        lab.here.refuse_if_open(lab.provider)
        assert (lab.provider.checks, lab.here.state(NAME)) == (1, "closed")

    def test_counts_from_nothing_when_it_has_closed(self, lab: Lab) -> None:
        lab.fail(3)
        lab.end_rest()
        lab.here.refuse_if_open(lab.provider)
        lab.fail(2)
        lab.there.refuse_if_open(lab.provider)
        assert lab.there.state(NAME) == "closed"

    def test_rests_anew_when_it_is_not(self, lab: Lab) -> None:
        lab.fail(3)
        lab.end_rest()
        lab.provider.problem = "it does not answer"
        assert lab.refused_for(lab.there) == pytest.approx(20, abs=1)
        assert lab.refused_for(lab.here) == pytest.approx(20, abs=1)
        assert lab.provider.checks == 1

    def test_rests_anew_when_the_check_itself_fails(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        lab.fail(3)
        lab.end_rest()
        monkeypatch.setattr(lab.provider, "health", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lab.here.refuse_if_open(lab.provider)
        assert lab.refused_for(lab.there) == pytest.approx(20, abs=1)

    def test_is_tried_by_the_next_one_where_the_step_that_tried_was_cancelled(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def health() -> str:
            raise StepCancelled("cancelled")

        lab.fail(3)
        lab.end_rest()
        with monkeypatch.context() as cancelled:
            cancelled.setattr(lab.provider, "health", health)
            with pytest.raises(StepCancelled):
                lab.here.refuse_if_open(lab.provider)
        lab.there.refuse_if_open(lab.provider)
        assert (lab.provider.checks, lab.here.state(NAME)) == (1, "closed")

    def test_lets_others_wait_for_the_one_that_tries(self, lab: Lab) -> None:
        lab.fail(3)
        lab.store.delete(keys.breaker_rest(NAME))
        lab.store.set(keys.breaker_trial(NAME), 1, px=4000)
        assert lab.refused_for(lab.here) == pytest.approx(4, abs=1)
        assert lab.provider.checks == 0

    @pytest.mark.parametrize("late", [None, BROKEN])
    def test_is_not_moved_by_what_was_sent_before(self, lab: Lab, late: BaseException | None) -> None:
        lab.fail(3)
        lab.end_rest()
        lab.there.note(lab.provider, late)
        assert lab.there.state(NAME) == "half-open"


class TestProcesses:
    def test_let_one_of_them_try(self, lab: Lab, redis_settings: RedisSettings) -> None:
        opener = Breakers(redis_settings.url, failures=1)
        opener.note(lab.provider, BROKEN)
        lab.end_rest()
        found = compete("trial", redis_settings.url)
        assert sum(checks for checks, _ in found) == 1
        assert all(was_let_in for _, was_let_in in found)
        assert lab.here.state(NAME) == "closed"
