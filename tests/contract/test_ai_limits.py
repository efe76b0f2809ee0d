"""A provider's limits on a real Redis: slots, places, refusals, and four processes that compete."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from procos import ai_keys as keys
from tasks.ai.limits import SHARE
from tasks.ai.places import PLACE_MILLISECONDS, Places
from tests.ai_samples import profile
from tests.benchmarks.ai.rate import busiest, moments_let_in
from tests.contract.ai_competitors import MOST_AT_WORK, compete
from tests.contract.ai_limits_lab import NAME, SLOW, SPACING, Lab

if TYPE_CHECKING:
    import redis

    from procos.settings import RedisSettings


@pytest.fixture
def lab(redis_client: redis.Redis, redis_settings: RedisSettings) -> Lab:
    return Lab(redis_client, redis_settings.url)


class TestSlot:
    def test_is_there_at_once_for_who_comes_first(self, lab: Lab) -> None:
        assert lab.admit("a").is_noted

    def test_of_the_next_is_further_away_by_the_spacing_each_time(self, lab: Lab) -> None:
        lab.admit("a")
        waits = [lab.retry_in(step) for step in "bcd"]
        assert waits == [pytest.approx(number * SPACING, abs=0.5) for number in (1, 2, 3)]

    def test_is_not_saved_up_while_nobody_asks(self, lab: Lab) -> None:
        lab.admit("a")
        lab.pass_time(600)
        lab.admit("b")
        assert lab.retry_in("c") == pytest.approx(SPACING, abs=0.5)

    def test_within_a_second_is_waited_for(self, lab: Lab) -> None:
        lab.admit("a")
        lab.pass_time(SPACING - 0.9)
        assert lab.admit("b").is_noted

    def test_takes_as_much_of_the_schedule_as_the_tokens_it_may_use(self, lab: Lab) -> None:
        asked = profile(tokens_per_minute=1000)
        lab.admit("a", asked, tokens=500)
        assert lab.retry_in("b", asked, tokens=1) == pytest.approx(30 / SHARE, abs=0.5)

    def test_is_that_of_the_narrower_of_two_limits(self, lab: Lab) -> None:
        asked = profile(requests_per_minute=5, tokens_per_minute=1000)
        lab.admit("a", asked, tokens=500)
        assert lab.retry_in("b", asked, tokens=1) == pytest.approx(30 / SHARE, abs=0.5)
        assert lab.retry_in("c", asked, tokens=1) == pytest.approx(30 / SHARE + SPACING, abs=0.5)


class TestSettlement:
    ASKED = profile(tokens_per_minute=1000)

    def test_gives_back_what_was_not_used(self, lab: Lab) -> None:
        first = lab.admit("a", self.ASKED, tokens=500)
        lab.limits.leave(first, used_tokens=250)
        assert lab.retry_in("b", self.ASKED) == pytest.approx(15 / SHARE, abs=0.5)

    def test_takes_what_was_used_beyond(self, lab: Lab) -> None:
        first = lab.admit("a", self.ASKED, tokens=250)
        lab.limits.leave(first, used_tokens=500)
        assert lab.retry_in("b", self.ASKED) == pytest.approx(30 / SHARE, abs=0.5)

    def test_counts_the_estimate_where_nobody_counted(self, lab: Lab) -> None:
        lab.limits.leave(lab.admit("a", self.ASKED, tokens=250), used_tokens=None)
        assert lab.retry_in("b", self.ASKED) == pytest.approx(15 / SHARE, abs=0.5)

    def test_believes_no_server_that_says_more_than_a_minute_allows(self, lab: Lab) -> None:
        first = lab.admit("a", self.ASKED, tokens=100)
        with capture_logs() as logs:
            lab.limits.leave(first, used_tokens=10**9)
        assert lab.retry_in("b", self.ASKED) == pytest.approx(66 / SHARE, abs=0.5)
        assert logs == [
            {
                "event": "ai.usage_not_believed", "log_level": "warning",
                "provider": NAME, "tokens": 10**9, "counted": 1100,
            }
        ]  # fmt: skip

    def test_counts_the_estimate_where_a_server_says_less_than_nothing(self, lab: Lab) -> None:
        lab.limits.leave(lab.admit("a", self.ASKED, tokens=250), used_tokens=-(10**9))
        assert lab.retry_in("b", self.ASKED) == pytest.approx(15 / SHARE, abs=0.5)

    def test_does_not_give_back_the_past(self, lab: Lab) -> None:
        first = lab.admit("a", self.ASKED, tokens=500)
        lab.pass_time(60)
        lab.limits.leave(first, used_tokens=0)
        lab.admit("b", self.ASKED, tokens=100)
        assert lab.retry_in("c", self.ASKED) == pytest.approx(6 / SHARE, abs=0.5)


class TestPlace:
    ASKED = profile(at_once=2)

    def test_is_taken_until_it_is_left(self, lab: Lab) -> None:
        first, _ = lab.admit("a", self.ASKED), lab.admit("b", self.ASKED)
        assert lab.retry_in("c", self.ASKED) >= 1
        lab.limits.leave(first, used_tokens=1)
        assert lab.admit("c", self.ASKED).is_noted

    def test_is_kept_for_who_comes_back_at_its_moment(self, lab: Lab) -> None:
        first, _ = lab.admit("a", self.ASKED), lab.admit("b", self.ASKED)
        wait = lab.retry_in("c", self.ASKED)
        lab.limits.leave(first, used_tokens=1)
        lab.pass_time(wait + 0.1)
        assert lab.retry_in("d", self.ASKED) >= 1
        assert lab.admit("c", self.ASKED).is_noted

    def test_is_not_kept_for_ever(self, lab: Lab) -> None:
        first, _ = lab.admit("a", self.ASKED), lab.admit("b", self.ASKED)
        wait = lab.retry_in("c", self.ASKED)
        lab.limits.leave(first, used_tokens=1)
        lab.pass_time(wait + 6)
        assert lab.admit("d", self.ASKED).is_noted

    def test_falls_free_when_its_holder_is_dead(self, lab: Lab) -> None:
        lab.admit("a", self.ASKED)
        lab.admit("b", self.ASKED)
        lab.pass_time(PLACE_MILLISECONDS / 1000 + 1)
        assert lab.admit("c", self.ASKED).is_noted

    def test_is_renewed_while_its_holder_lives(self, lab: Lab) -> None:
        held, places = lab.admit("a", self.ASKED), Places(lab.store)
        lab.pass_time(15)
        places.add(keys.places(NAME), held.holder)
        places.renew()
        lab.pass_time(15)
        assert lab.limits.headroom(self.ASKED) == 0.5
        places.remove(keys.places(NAME), held.holder)

    def test_that_was_given_up_is_not_made_anew(self, lab: Lab) -> None:
        places = Places(lab.store)
        places.add(keys.places(NAME), "a/1")
        places.renew()
        assert lab.store.zcard(keys.places(NAME)) == 0
        places.remove(keys.places(NAME), "a/1")

    def test_is_told_for_later_by_how_long_calls_take(self, lab: Lab) -> None:
        lab.store.hset(keys.schedule(NAME), "call_ms", 20_000)
        lab.admit("a", self.ASKED)
        lab.admit("b", self.ASKED)
        assert [lab.retry_in(step, self.ASKED) for step in "cd"] == [pytest.approx(n, abs=0.5) for n in (10, 20)]

    def test_is_the_next_for_whose_turn_it_was_already(self, lab: Lab) -> None:
        lab.store.hset(keys.schedule(NAME), "call_ms", 20_000)
        for step in "ab":
            lab.admit(step, self.ASKED)
        waits = [lab.retry_in(step, self.ASKED) for step in "cd"]
        lab.pass_time(waits[0] + 0.1)
        assert lab.retry_in("c", self.ASKED) == pytest.approx(10, abs=0.5)
        assert lab.retry_in("e", self.ASKED) == pytest.approx(20, abs=0.5)


class TestRefusal:
    def test_keeps_everybody_away_until_its_end(self, lab: Lab) -> None:
        lab.limits.note_refusal(profile(), timedelta(seconds=20))
        assert lab.retry_in("a", profile()) == pytest.approx(20, abs=0.5)
        assert lab.limits.headroom(profile()) == 0

    def test_holds_for_who_was_promised_a_slot(self, lab: Lab) -> None:
        lab.admit("a")
        wait = lab.retry_in("b")
        lab.limits.note_refusal(SLOW, timedelta(seconds=60))
        lab.pass_time(wait)
        assert lab.retry_in("b") == pytest.approx(60, abs=0.5)

    def test_is_not_shortened_by_a_later_one(self, lab: Lab) -> None:
        for seconds in (20, 5):
            lab.limits.note_refusal(profile(), timedelta(seconds=seconds))
        assert lab.retry_in("a", profile()) == pytest.approx(20, abs=0.5)

    def test_of_no_time_at_all_is_none(self, lab: Lab) -> None:
        lab.limits.note_refusal(profile(), timedelta(0))
        assert lab.admit("a", profile()).is_noted


class TestHeadroom:
    def test_is_whole_where_nobody_asks(self, lab: Lab) -> None:
        assert [lab.limits.headroom(each) for each in (profile(), SLOW, profile(at_once=2))] == [1, 1, 1]

    def test_is_none_where_the_next_would_be_postponed(self, lab: Lab) -> None:
        lab.admit("a")
        assert lab.limits.headroom(SLOW) == 0

    def test_is_the_share_of_free_places(self, lab: Lab) -> None:
        lab.admit("a", profile(at_once=4))
        assert lab.limits.headroom(profile(at_once=4)) == 0.75

    def test_does_not_count_a_limit_that_is_no_more(self, lab: Lab) -> None:
        lab.admit("a")
        assert lab.limits.headroom(profile()) == 1


class TestProcesses:
    @pytest.mark.usefixtures("redis_client")  # an empty one
    def test_together_are_let_through_at_the_rate_of_one(self, redis_settings: RedisSettings) -> None:
        per_second = 600 * SHARE / 60
        moments = moments_let_in(redis_settings.url, requests_per_minute=600, seconds=6)
        for window in (1, 3, 6):
            assert busiest(moments, window) <= (window + 2) * per_second + 1
        assert len(moments) >= 3 * per_second

    def test_together_hold_no_more_places_than_there_are(self, lab: Lab, redis_settings: RedisSettings) -> None:
        held = compete("hold", redis_settings.url)
        assert int(lab.store.get(MOST_AT_WORK) or 0) <= 3
        assert sum(held) > 0
        assert lab.store.zcard(keys.places(NAME)) == 0
