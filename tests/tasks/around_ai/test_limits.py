"""Limits while Redis is away, and how a worker waits; what Redis decides is in the contract tests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from procos.domain.errors import RateLimited, StepCancelled, TransientError
from procos.domain.external_task import ExternalTaskId
from procos.testing import InstantStop
from tasks.ai.limit_scripts import ASK_AGAIN, LATER, LET_IN
from tasks.ai.limits import WITHOUT_REDIS, Limits
from tests.ai_samples import REDIS_AWAY, free_profile, profile

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = ExternalTaskId("task-1")


class Answers:
    """What Redis would answer, one after the other, and with which patience and last word it was asked."""

    def __init__(self, *answers: tuple[int, int]) -> None:
        self.left = list(answers)
        self.asked: list[tuple[int, int]] = []

    def __call__(self, *, keys: list[str], args: list[Any]) -> tuple[int, int]:  # noqa: ARG002  # a script's signature
        self.asked.append((args[5], args[7]))
        return self.left.pop(0)


@pytest.fixture
def waits() -> InstantStop:
    return InstantStop()


@pytest.fixture
def answering(waits: InstantStop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Limits, Answers]]:
    def build(*answers: tuple[int, int]) -> tuple[Limits, Answers]:
        limits, told = Limits(REDIS_AWAY, wait=waits.wait), Answers(*answers)
        monkeypatch.setattr(limits, "_ask", told)
        return limits, told

    return build


class TestWait:
    def test_is_as_long_as_the_slot_is_away(
        self, answering: Callable[..., tuple[Limits, Answers]], waits: InstantStop
    ) -> None:
        limits, _ = answering((LET_IN, 700))
        limits.admit(profile(), step=STEP, tokens=1)
        assert sum(waits.waits) == pytest.approx(0.7)
        assert max(waits.waits) <= 0.2

    def test_for_a_place_is_a_second_at_most(
        self, answering: Callable[..., tuple[Limits, Answers]], waits: InstantStop
    ) -> None:
        limits, told = answering(*[(ASK_AGAIN, 0)] * 4, (LATER, 3000))
        with pytest.raises(RateLimited) as postponed:
            limits.admit(profile(at_once=1), step=STEP, tokens=1)
        assert postponed.value.retry_in == timedelta(seconds=3)
        assert sum(waits.waits) <= 1
        assert told.asked == [(1000, 0), (800, 0), (600, 0), (400, 0), (200, 1)]

    @pytest.mark.parametrize("answer", [(LET_IN, 900), (ASK_AGAIN, 0)])
    def test_ends_when_the_step_is_cancelled(
        self, answering: Callable[..., tuple[Limits, Answers]], waits: InstantStop, answer: tuple[int, int]
    ) -> None:
        limits, _ = answering(answer)
        with pytest.raises(StepCancelled):
            limits.admit(profile(), step=STEP, tokens=1, is_cancelled=lambda: len(waits.waits) >= 1)
        assert len(waits.waits) == 1


class TestWithoutRedis:
    def test_does_not_let_ask_what_may_cost_something(self) -> None:
        with pytest.raises(TransientError, match="nobody knows whether mistral may be asked") as refused:
            Limits(REDIS_AWAY).admit(profile(), step=STEP, tokens=1)
        assert (refused.value.code, refused.value.retry_in) == ("LIMITS_UNKNOWN", WITHOUT_REDIS)

    def test_lets_ask_what_costs_nothing(self) -> None:
        limits = Limits(REDIS_AWAY)
        admission = limits.admit(free_profile(at_once=1), step=STEP, tokens=1)
        assert not admission.is_noted
        limits.leave(admission, used_tokens=5)

    def test_shows_room_only_where_one_may_ask(self) -> None:
        limits = Limits(REDIS_AWAY)
        assert [limits.headroom(free_profile()), limits.headroom(profile())] == [1.0, 0.0]

    def test_says_so_once(self) -> None:
        limits = Limits(REDIS_AWAY)
        with capture_logs() as logs:
            for _ in range(3):
                limits.headroom(profile())
            limits.note_refusal(profile(), timedelta(seconds=5))
            limits.forget(profile(), step=STEP)
        assert [(entry["event"], entry["part"]) for entry in logs] == [("ai.without_redis", "limits")]
