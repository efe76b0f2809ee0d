from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from bridge.heartbeats import SLACK, Heartbeats, longest_silence
from procos.settings import load_settings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeats(clock: Clock) -> Heartbeats:
    heartbeats = Heartbeats(clock=clock)
    heartbeats.expect("poller-ai", within=timedelta(seconds=60))
    heartbeats.expect("callbacks", within=timedelta(seconds=30))
    return heartbeats


class TestHeartbeats:
    def test_are_fine_as_long_as_every_loop_turns_in_time(self, heartbeats: Heartbeats, clock: Clock) -> None:
        clock.now += 30
        assert heartbeats.late() == {}

    def test_name_the_loop_that_hangs_and_no_other(self, heartbeats: Heartbeats, clock: Clock) -> None:
        clock.now += 40
        heartbeats.beat("poller-ai")
        assert heartbeats.late() == {"callbacks": "no turn for 40 s; expected within 30 s"}

    def test_forgive_a_loop_that_turns_again(self, heartbeats: Heartbeats, clock: Clock) -> None:
        clock.now += 40
        heartbeats.beat("callbacks")
        assert heartbeats.late() == {}

    def test_say_nothing_of_a_loop_that_has_nothing_to_do(self, heartbeats: Heartbeats, clock: Clock) -> None:
        clock.now += 40
        heartbeats.dismiss("callbacks")
        assert heartbeats.late() == {}

    def test_count_from_the_start_for_a_loop_that_never_turned(self, clock: Clock) -> None:
        heartbeats = Heartbeats(clock=clock)
        clock.now += 1000
        heartbeats.expect("watcher", within=timedelta(seconds=5))
        assert heartbeats.late() == {}
        clock.now += 6
        assert "watcher" in heartbeats.late()

    def test_take_the_name_of_the_thread(self, heartbeats: Heartbeats, clock: Clock) -> None:
        clock.now += 59
        thread = threading.Thread(target=heartbeats.beat, name="poller-ai")
        thread.start()
        thread.join()
        clock.now += 2
        assert list(heartbeats.late()) == ["callbacks"]

    def test_ignore_threads_nobody_watches(self, heartbeats: Heartbeats) -> None:
        heartbeats.beat("somebody")
        assert REGISTRY.get_sample_value("procos_bridge_last_loop_timestamp_seconds", {"loop": "somebody"}) is None

    def test_show_in_the_metrics(self, heartbeats: Heartbeats) -> None:
        heartbeats.beat("callbacks")
        assert REGISTRY.get_sample_value("procos_bridge_last_loop_timestamp_seconds", {"loop": "callbacks"})


class TestLongestSilence:
    def test_leaves_room_for_the_poll_that_is_set_to_pollers_alone(self) -> None:
        given = {"PROCOS_BRIDGE_POLL_TIMEOUT": "1800", "PROCOS_BRIDGE_LOCK_DURATION": "3600"}
        settings = load_settings(given, dotenv=None)
        assert longest_silence(settings, polls=True) > timedelta(seconds=1800) + SLACK
        assert longest_silence(settings, polls=False) < timedelta(seconds=300)

    @pytest.mark.parametrize("name", ["ENGINE_TIMEOUT", "BROKER_CONFIRM_TIMEOUT", "REDIS_TIMEOUT"])
    def test_leaves_room_for_calls_that_may_take_long(self, name: str) -> None:
        settings = load_settings({f"PROCOS_{name}": "600"}, dotenv=None)
        assert longest_silence(settings, polls=False) > 3 * timedelta(seconds=600)
