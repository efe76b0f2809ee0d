"""The arithmetic of retries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procos.domain.retry import LONGEST_DELAY, RetryPolicy, next_delay, policy_from_model, policy_of, retries_left

POLICY = RetryPolicy(attempts=3, first_delay=timedelta(seconds=10), longest_delay=timedelta(seconds=35))


class TestRetriesLeft:
    @pytest.mark.parametrize(("fetched", "left"), [(None, 2), (2, 1), (1, 0), (0, 0), (7, 6)])
    def test_counts_down_from_what_was_fetched(self, fetched: int | None, left: int) -> None:
        assert retries_left(POLICY, fetched) == left

    def test_gives_a_policy_of_one_attempt_no_second(self) -> None:
        assert retries_left(RetryPolicy(attempts=1), None) == 0


class TestNextDelay:
    @pytest.mark.parametrize(("left", "seconds"), [(2, 10), (1, 20), (0, 30)])
    def test_doubles_with_every_failure(self, left: int, seconds: float) -> None:
        policy = RetryPolicy(attempts=3, first_delay=timedelta(seconds=10), longest_delay=timedelta(seconds=30))
        assert next_delay(policy, left, advice=None, jitter=1.0) == timedelta(seconds=seconds)

    def test_follows_advice_within_bounds(self) -> None:
        assert next_delay(POLICY, 2, advice=timedelta(seconds=3), jitter=0.5) == timedelta(seconds=3)
        assert next_delay(POLICY, 2, advice=timedelta(seconds=-3), jitter=0.5) == timedelta(0)
        assert next_delay(POLICY, 2, advice=timedelta(days=99), jitter=0.5) == LONGEST_DELAY

    @given(
        attempts=st.integers(1, 10_000),
        left=st.integers(0, 10_000),
        first=st.timedeltas(timedelta(0), timedelta(days=2)),
        jitter=st.floats(0, 1, exclude_max=True),
    )
    def test_stays_between_nothing_and_the_longest_delay(
        self, attempts: int, left: int, first: timedelta, jitter: float
    ) -> None:
        policy = RetryPolicy(attempts=attempts, first_delay=first)
        assert timedelta(0) <= next_delay(policy, left, advice=None, jitter=jitter) <= policy.longest_delay


class TestPolicyFromModel:
    @pytest.mark.parametrize(
        ("text", "attempts", "delays"),
        [
            ("R3/PT5M", 3, [300, 300]),
            ("R1/PT5M", 1, []),
            ("PT5M", 2, [300]),
            ("PT1M,PT5M,PT1H", 4, [60, 300, 3600]),
            (" PT1M , P1DT2H ", 3, [60, 93600]),
            ("R2/PT0.5S", 2, [0.5]),
            ("R2/P2W", 2, [14 * 86400]),
        ],
    )
    def test_reads_how_often_and_when(self, text: str, attempts: int, delays: list[float]) -> None:
        policy = policy_from_model(text)
        left, waited = policy.attempts, []
        while left := retries_left(policy, left):
            waited.append(next_delay(policy, left, advice=None, jitter=0.0).total_seconds())
        assert (policy.attempts, waited) == (attempts, delays)

    @pytest.mark.parametrize(
        "text",
        ["", "3", "R/PT5M", "R0/PT5M", "R5000/PT1S", "PT", "P", "PT5", "5M", "P1M", "P1Y", "PT5M,", "R3/PT5M,PT1M",
         "P400D", "P99999999999999D", "x" * 501, "PT1M," * 90 + "PT1M;", "${retries}"],
    )  # fmt: skip
    def test_refuses_what_it_cannot_read(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"expected|longer|at most"):
            policy_from_model(text)


class TestPolicyOf:
    def test_is_the_models_where_it_says_something(self) -> None:
        assert policy_of("R5/PT1M", POLICY).attempts == 5

    @pytest.mark.parametrize("config", [None, "soon"])
    def test_is_the_other_one_where_it_does_not(self, config: str | None) -> None:
        assert policy_of(config, POLICY) is POLICY
