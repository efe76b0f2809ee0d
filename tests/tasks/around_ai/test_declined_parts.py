"""What providers decline, while Redis is away; what workers tell each other is in the contract tests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from procos.domain.errors import RateLimited, StepCancelled
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.declined_parts import MOST_KNOWN, REMEMBERED_SECONDS, DeclinedParts
from tasks.ai.limits import Admission, Limits
from tests.ai_samples import REDIS_AWAY
from tests.hand_clock import HandClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.settings import Settings
    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

NOBODY: frozenset[str] = frozenset()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def parts(clock: HandClock) -> DeclinedParts:
    return DeclinedParts(REDIS_AWAY, clock=clock)


class TestWithoutRedis:
    def test_are_what_this_process_has_seen_of_that_model(self, parts: DeclinedParts) -> None:
        parts.note("mistral", "small", "temperature")
        parts.note("mistral", "small", "stream")
        assert parts.of("mistral", "small") == {"temperature", "stream"}
        assert (parts.of("mistral", "large"), parts.of("openai", "small")) == (NOBODY, NOBODY)

    def test_are_forgotten_after_ten_minutes_without_another(self, parts: DeclinedParts, clock: HandClock) -> None:
        parts.note("mistral", "small", "temperature")
        clock.now += REMEMBERED_SECONDS - 1
        assert parts.of("mistral", "small") == {"temperature"}
        clock.now += 2
        assert parts.of("mistral", "small") == NOBODY
        parts.note("mistral", "small", "stream")
        assert parts.of("mistral", "small") == {"stream"}

    def test_are_not_known_of_more_and_more_models(self, parts: DeclinedParts) -> None:
        parts.note("mistral", "first", "temperature")
        for number in range(MOST_KNOWN):
            parts.of("mistral", f"model-{number}")
        assert parts.of("mistral", "first") == NOBODY

    def test_say_so_once(self, parts: DeclinedParts) -> None:
        with capture_logs() as logs:
            parts.of("mistral", "small")
            parts.note("mistral", "small", "temperature")
        assert [entry["event"] for entry in logs] == ["ai.without_redis", "ai.part_declined"]


class Room:
    """Limits of a provider that lets in one request; what else was asked for or said is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Exception) -> None:
        self.let_in, self.ended, self.refusals, self._then = 0, 0, 0, then
        for name in ("admit", "leave", "note_refusal"):
            monkeypatch.setattr(Limits, name, getattr(self, name))

    def admit(self, profile: Any, **_: Any) -> Admission:
        assert self.let_in == self.ended, "a request begins when the one before has ended"
        if self.let_in:
            raise self._then
        self.let_in += 1
        return Admission(profile=profile, holder="me", tokens=100, since=0, is_noted=False)

    def leave(self, _: Admission, *, used_tokens: int | None) -> None:
        assert used_tokens == 0, "what was declined was not read"
        self.ended += 1

    def note_refusal(self, *_: object) -> None:
        self.refusals += 1


class TestRequestThatIsSentAgain:
    @pytest.mark.parametrize(
        "no_room", [RateLimited("full", retry_in=timedelta(seconds=60)), StepCancelled("cancelled")], ids=str
    )
    def test_needs_room_of_its_own(
        self,
        openai_settings: Settings,
        context_with: Callable[..., TaskContext],
        provider_server: ProviderServer,
        monkeypatch: pytest.MonkeyPatch,
        no_room: Exception,
    ) -> None:
        provider_server.declines = lambda body: "unsupported: temperature" if "temperature" in body else None
        room = Room(monkeypatch, then=no_room)
        with pytest.raises(type(no_room), match=str(no_room)):
            ai_query(AiQueryInput(user_query="why?", provider="openai"), context_with(openai_settings))
        assert len(provider_server.requests) == 1
        assert (room.let_in, room.ended) == (1, 1)
        assert room.refusals == 0, "it is our limit, and no word of the provider's"

    def test_leaves_out_what_the_step_has_found_out_before_it_was_postponed(
        self,
        openai_settings: Settings,
        context_with: Callable[..., TaskContext],
        provider_server: ProviderServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        provider_server.declines = lambda body: "unsupported: temperature" if "temperature" in body else None
        query = AiQueryInput(user_query="why?", provider="openai")
        with monkeypatch.context() as full:
            Room(full, then=RateLimited("full", retry_in=timedelta(seconds=60)))
            with pytest.raises(RateLimited):
                ai_query(query, context_with(openai_settings))
        assert ai_query(query, context_with(openai_settings)).ai_response == "42"
        assert ["temperature" in sent for _, _, sent in provider_server.requests] == [True, False]
