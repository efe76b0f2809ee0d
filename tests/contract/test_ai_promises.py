"""Slots that steps were promised, on a real Redis: kept, given up, and those of steps that never come back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from procos import ai_keys as keys
from procos.domain.errors import RateLimited
from tests.ai_samples import profile
from tests.benchmarks.ai.rate import busiest
from tests.contract.ai_limits_lab import NAME, SLOW, SPACING, Lab

if TYPE_CHECKING:
    import redis

    from procos.settings import RedisSettings


@pytest.fixture
def lab(redis_client: redis.Redis, redis_settings: RedisSettings) -> Lab:
    return Lab(redis_client, redis_settings.url)


class TestPromise:
    def test_lets_in_who_comes_back_for_it_before_who_comes_by(self, lab: Lab) -> None:
        lab.admit("a")
        wait = lab.retry_in("b")
        lab.pass_time(wait)
        assert lab.retry_in("c") == pytest.approx(SPACING, abs=0.5)
        assert lab.admit("b").is_noted

    def test_names_the_same_moment_to_who_comes_early(self, lab: Lab) -> None:
        lab.admit("a")
        lab.retry_in("b")
        lab.pass_time(4)
        assert lab.retry_in("b") == pytest.approx(SPACING - 4, abs=0.5)
        assert lab.retry_in("c") == pytest.approx(2 * SPACING - 4, abs=0.5)

    def test_is_anybodys_when_its_owner_is_late(self, lab: Lab) -> None:
        lab.admit("a")
        lab.retry_in("b")
        lab.pass_time(SPACING + 1.5)
        assert lab.admit("c").is_noted
        assert lab.retry_in("b") == pytest.approx(SPACING - 1.5, abs=0.5)

    def test_is_its_owners_even_when_late_as_long_as_nobody_took_it(self, lab: Lab) -> None:
        lab.admit("a")
        lab.retry_in("b")
        lab.pass_time(SPACING + 1.5)
        assert lab.admit("b").is_noted
        assert lab.retry_in("c") == pytest.approx(SPACING - 1.5, abs=0.5)

    def test_is_gone_two_seconds_after_its_moment(self, lab: Lab) -> None:
        lab.admit("a")
        for step in "bc":
            lab.retry_in(step)
        lab.pass_time(SPACING + 3)
        lab.retry_in("b")
        assert lab.promised_in("b") == pytest.approx(2 * SPACING - 3, abs=0.5)

    def test_of_few_tokens_is_not_taken_over_by_many(self, lab: Lab) -> None:
        asked = profile(tokens_per_minute=1000)
        lab.admit("a", asked, tokens=200)
        wait = lab.retry_in("b", asked, tokens=10)
        lab.retry_in("c", asked, tokens=500)
        lab.pass_time(wait + 1.5)
        lab.retry_in("d", asked, tokens=11)
        assert (lab.promised_in("d") or 0) > 20
        assert lab.admit("e", asked, tokens=10).is_noted

    def test_is_not_made_further_ahead_than_an_hour(self, lab: Lab) -> None:
        asked = profile(tokens_per_minute=1000)
        lab.admit("a", asked, tokens=100_000)
        assert lab.retry_in("b", asked) == 3600
        assert lab.store.zcard(keys.reserved(NAME)) == 0

    def test_leaves_nothing_behind_in_the_end(self, lab: Lab) -> None:
        lab.admit("a")
        lab.retry_in("b")
        assert all(lab.store.pttl(key) > 0 for key in lab.store.keys("procos:ai:*"))


class TestPromiseGivenUp:
    def test_is_made_to_the_next_who_asks(self, lab: Lab) -> None:
        lab.admit("a")
        waits = [lab.retry_in(step) for step in "bc"]
        lab.forget("b")
        assert lab.retry_in("d") == pytest.approx(waits[0], abs=0.5)
        assert lab.retry_in("e") == pytest.approx(3 * SPACING, abs=0.5)
        lab.pass_time(waits[1])
        assert lab.admit("c").is_noted

    def test_leaves_nobody_further_back_however_often_it_is(self, lab: Lab) -> None:
        lab.admit("a")
        for number in range(30):
            assert lab.retry_in(f"step-{number}") == pytest.approx(SPACING, abs=0.5)
            lab.forget(f"step-{number}")

    def test_is_its_steps_as_long_as_nobody_took_it(self, lab: Lab) -> None:
        lab.admit("a")
        wait = lab.retry_in("b")
        lab.forget("b")
        lab.pass_time(wait)
        assert lab.admit("b").is_noted

    def test_of_few_tokens_is_not_made_to_many(self, lab: Lab) -> None:
        asked = profile(tokens_per_minute=1000)
        lab.admit("a", asked, tokens=200)
        first, _ = lab.retry_in("b", asked, tokens=10), lab.retry_in("c", asked, tokens=500)
        lab.forget("b", asked)
        assert lab.retry_in("d", asked, tokens=11) > 2 * first
        assert lab.retry_in("e", asked, tokens=10) == pytest.approx(first, abs=0.5)

    def test_makes_room_for_whoever_is_there_at_its_moment(self, lab: Lab) -> None:
        lab.admit("a")
        wait, _ = lab.retry_in("b"), lab.retry_in("c")
        lab.forget("b")
        assert lab.limits.headroom(SLOW) == 0
        lab.pass_time(wait)
        assert lab.limits.headroom(SLOW) == 1
        assert lab.admit("d").is_noted
        assert lab.limits.headroom(SLOW) == 0

    def test_shortens_the_line_for_places(self, lab: Lab) -> None:
        asked = profile(at_once=1)
        lab.store.hset(keys.schedule(NAME), "call_ms", 20_000)
        lab.admit("a", asked)
        assert [lab.retry_in(step, asked) for step in "bc"] == [pytest.approx(n, abs=0.5) for n in (20, 40)]
        lab.forget("c", asked)
        assert lab.retry_in("d", asked) == pytest.approx(40, abs=0.5)

    def test_is_none_where_nothing_was_promised(self, lab: Lab) -> None:
        lab.forget("a")
        assert lab.store.keys("procos:ai:*") == []


class TestPromiseOfTheDead:
    """Ten steps that never come back hold the slots of two minutes; the first of them is missed already."""

    @pytest.fixture
    def lab(self, lab: Lab) -> Lab:
        lab.admit("a")
        for number in range(10):
            lab.retry_in(f"dead-{number}")
        lab.pass_time(SPACING + 3)
        return lab

    def test_is_taken_over_by_who_comes_back_a_second_after_its_moment(self, lab: Lab) -> None:
        wait = lab.retry_in("b")
        assert wait == pytest.approx(SPACING - 3 + 1, abs=0.5)
        lab.pass_time(wait)
        assert lab.admit("b").is_noted

    def test_is_looked_after_by_one_step_each(self, lab: Lab) -> None:
        waits = [lab.retry_in(step) for step in "bcd"]
        assert waits == [pytest.approx(number * SPACING - 2, abs=0.5) for number in (1, 2, 3)]
        assert lab.retry_in("b") == pytest.approx(waits[0], abs=0.5)

    def test_is_whoevers_is_there_first(self, lab: Lab) -> None:
        lab.pass_time(lab.retry_in("b"))
        assert lab.admit("c").is_noted
        assert lab.retry_in("b") == pytest.approx(lab.promised_in("b"), abs=0.5)

    def test_is_not_waited_for_where_it_is_soon_anyhow(self, lab: Lab) -> None:
        lab.forget("dead-1")
        assert lab.retry_in("b") == pytest.approx(SPACING - 3, abs=0.5)

    def test_costs_who_looked_after_it_in_vain_nothing_of_its_own(self, lab: Lab) -> None:
        wait = lab.retry_in("b")
        lab.pass_time(wait - 1)
        assert lab.admit("dead-1").is_noted
        lab.pass_time(1)
        rest = lab.retry_in("b")
        assert rest == pytest.approx(10 * SPACING - 3 - wait, abs=0.5)
        lab.pass_time(rest)
        assert lab.admit("b").is_noted

    def test_once_taken_over_leaves_the_other_to_the_next(self, lab: Lab) -> None:
        lab.pass_time(lab.retry_in("b"))
        last = lab.promised_in("b")
        lab.admit("b")
        lab.retry_in("c")
        assert last is not None
        assert lab.promised_in("c") == pytest.approx(last, abs=0.5)


class TestMinute:
    """A quarter of an hour in which a step asks every four seconds, and comes back, or dies, or goes elsewhere."""

    @pytest.mark.parametrize("seed", range(3))
    def test_holds_no_more_than_allowed_and_whoever_was_promised_it(self, lab: Lab, seed: int) -> None:
        chance, asked = random.Random(seed), profile(requests_per_minute=10)  # noqa: S311  # the same for each run
        to_come = [(4.0 * number, f"step-{number}") for number in range(225)]
        fates, moments = dict[str, float](), list[float]()
        while to_come:
            to_come.sort()
            moment, step = to_come.pop(0)
            lab.pass_time(max(moment - lab.passed, 0))
            promised = lab.promised_in(step)
            try:
                lab.admit(step, asked)
                moments.append(lab.passed + lab.waited)
            except RateLimited as later:
                assert promised is None or promised > 0
                fate = fates.setdefault(step, chance.random())
                if fate < 0.4:
                    lab.forget(step, asked)
                elif fate < 0.8:
                    back_in = later.retry_in.total_seconds() + chance.uniform(0, 0.8)
                    to_come.append((lab.passed + back_in, step))
        assert busiest(sorted(moments), 60) <= 10
        assert len(moments) > 0.7 * 15 * 10
