"""A job is done again and again, whatever goes wrong, by one replica where one is enough."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from bridge.periodic import Periodic
from procos.domain.errors import EngineUnreachableError, LedgerUnreachableError
from procos.testing import FakeRegistry, InstantStop, Register

if TYPE_CHECKING:
    from procos.testing import FrozenClock


class TestPeriodic:
    @pytest.mark.parametrize("error", [EngineUnreachableError("engine", "gone"), ValueError("a defect")])
    def test_outlives_every_error(self, error: Exception) -> None:
        turns: list[str] = []

        def turn() -> None:
            turns.append("turn")
            raise error

        beats: list[str] = []
        Periodic(name="job", turn=turn, seconds=7).run(InstantStop(after=4), lambda: beats.append("beat"))
        assert (len(turns), len(beats)) == (3, 3)

    def test_waits_before_each_turn(self) -> None:
        stop = InstantStop(after=3)
        Periodic(name="job", turn=lambda: None, seconds=7).run(stop, lambda: None)
        assert stop.waits == [7, 7, 7]

    def test_is_done_by_one_replica_and_passes_on_when_that_is_gone(self, clock: FrozenClock) -> None:
        register, done = Register(clock=clock), list[str]()

        def job_of(name: str) -> Periodic:
            registry = FakeRegistry(register)
            return Periodic(name="job", turn=lambda: done.append(name), seconds=2, shared_by=registry)

        first, second = job_of("first"), job_of("second")
        for job in (first, second, first, second):
            job._do()
        assert done == ["first", "first"]
        clock.advance(seconds=7)
        second._do()
        assert done[-1] == "second"

    def test_is_never_left_undone_for_long_however_seldom_it_is_done(self, clock: FrozenClock) -> None:
        register, done = Register(clock=clock), list[str]()
        jobs = [
            Periodic(name="job", turn=partial(done.append, name), seconds=30, shared_by=FakeRegistry(register))
            for name in ("first", "second")
        ]
        jobs[0]._do()
        clock.advance(seconds=10)
        jobs[1]._do()
        assert done == ["first", "second"]

    def test_is_another_replicas_at_once_when_it_stops(self) -> None:
        register, done = Register(), list[str]()
        for name in ("first", "second"):
            job = Periodic(name="job", turn=partial(done.append, name), seconds=2, shared_by=FakeRegistry(register))
            job.run(InstantStop(after=2), lambda: None)
        assert done == ["first", "second"]

    def test_ends_though_redis_cannot_be_told_so(self) -> None:
        registry, turns = FakeRegistry(), list[str]()

        def turn() -> None:
            turns.append("turn")
            registry.register.is_down = True

        Periodic(name="job", turn=turn, seconds=1, shared_by=registry).run(InstantStop(after=2), lambda: None)
        assert turns == ["turn"]

    def test_beats_though_redis_cannot_say_whose_turn_it_is(self) -> None:
        registry, beats = FakeRegistry(), list[str]()
        registry.register.is_down = True
        with pytest.raises(LedgerUnreachableError):
            registry.ping()
        job = Periodic(name="job", turn=lambda: pytest.fail("not ours to do"), seconds=1, shared_by=registry)
        job.run(InstantStop(after=3), lambda: beats.append("beat"))
        assert len(beats) == 2
