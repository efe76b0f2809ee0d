"""Leases of what is in flight are extended at half-time, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from bridge import pace
from bridge.lease_keeper import BATCH, LeaseKeeper
from procos.domain.errors import EngineUnreachableError
from procos.ledger_keys import State
from procos.testing import InstantStop, dispatch_ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask, ExternalTaskId
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

LEASE = timedelta(seconds=20)
HOUR = timedelta(hours=1)


@pytest.fixture
def keeper(engine: FakeEngine, ledger: FakeLedger) -> LeaseKeeper:
    return LeaseKeeper(engine, ledger, ["ai"], lock_duration=LEASE)


def expires_in(engine: FakeEngine, ref: DispatchRef) -> timedelta:
    lease = engine.find(ref.external_task_id).lease
    assert lease is not None
    return lease.expires - engine.clock.now()


class TestLeaseKeeper:
    def test_extends_at_half_time_and_not_before(
        self, keeper: LeaseKeeper, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=9.9)
        keeper.turn(InstantStop())
        assert expires_in(engine, ref) == timedelta(seconds=10.1)
        clock.advance(seconds=0.1)
        keeper.turn(InstantStop())
        assert expires_in(engine, ref) == LEASE

    def test_goes_on_extending(
        self, keeper: LeaseKeeper, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        engine.add()
        ref = in_flight()
        for _ in range(50):
            clock.advance(seconds=5)
            keeper.turn(InstantStop())
        assert expires_in(engine, ref) > timedelta(0)

    def test_takes_again_a_lease_that_ran_out_while_we_were_away(
        self, keeper: LeaseKeeper, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=120)
        keeper.turn(InstantStop())
        assert expires_in(engine, ref) == LEASE

    def test_leaves_to_a_stranger_what_the_stranger_holds(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        fetch: Callable[..., ExternalTask],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=120)
        fetch(holder="stranger")
        keeper.turn(InstantStop())
        lease = engine.find(ref.external_task_id).lease
        assert lease is not None
        assert lease.holder == "stranger"
        assert "lock" not in engine.calls

    @pytest.mark.parametrize("state", [State.BACKING_OFF, State.REPORTING, State.RESERVED])
    def test_never_touches_what_is_not_published(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
        state: State,
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.entries[ref.external_task_id].state = state
        clock.advance(seconds=15)
        keeper.turn(InstantStop())
        assert expires_in(engine, ref) == timedelta(seconds=5)

    def test_leaves_a_step_that_is_gone_to_the_watcher(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        engine.cancel(ref.external_task_id)
        clock.advance(seconds=15)
        keeper.turn(InstantStop())
        assert ledger.in_flight("ai") == 1

    def test_forgets_a_lease_without_entry(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        in_flight()
        ledger.entries.clear()
        clock.advance(seconds=15)
        keeper.turn(InstantStop())
        assert ledger.in_flight("ai") == 0
        assert "extend" not in engine.calls

    def test_tries_again_after_an_outage(
        self, keeper: LeaseKeeper, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=10)
        engine.is_down = True
        with pytest.raises(EngineUnreachableError):
            keeper.turn(InstantStop())
        engine.is_down = False
        clock.advance(seconds=10)
        keeper.turn(InstantStop())
        assert expires_in(engine, ref) == LEASE

    def test_shares_the_work_with_other_replicas(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=10)
        (claimed,) = ledger.claim_due_leases("ai", 10)
        keeper.turn(InstantStop())
        assert "extend" not in engine.calls
        assert claimed == replace(claimed, external_task_id=ref.external_task_id)


class TestThousands:
    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pace, "MANY", 2)

    @pytest.mark.parametrize(("state", "times"), [(State.PUBLISHED, 2), (State.STARTED, 1)])
    def test_are_extended_by_longer_spans_while_they_wait(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
        state: State,
        times: int,
    ) -> None:
        refs = []
        for _ in range(4):
            engine.add()
            refs.append(in_flight())
            ledger.entries[refs[-1].external_task_id].state = state
        clock.advance(seconds=10)
        keeper.turn(InstantStop())
        assert {expires_in(engine, ref) for ref in refs} == {times * LEASE}
        clock.advance(seconds=10)
        before = engine.calls.count("extend")
        keeper.turn(InstantStop())
        assert engine.calls.count("extend") - before == (1 if times == 2 else len(refs))

    def test_are_extended_a_few_at_a_time_before_they_are_due(
        self, keeper: LeaseKeeper, engine: FakeEngine, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        for _ in range(20):
            engine.add()
            in_flight()
        extended = []
        for _ in range(9):
            clock.advance(seconds=1)
            keeper.turn(InstantStop())
            extended.append(engine.calls.count("extend"))
        assert extended[0] <= 3
        assert extended[-1] >= 15

    def test_are_extended_the_more_at_once_the_longer_the_last_turn_took(
        self, engine: FakeEngine, ledger: FakeLedger, in_flight: Callable[..., DispatchRef], clock: FrozenClock
    ) -> None:
        for _ in range(40):
            engine.add()
            in_flight()
        extended = []
        for seconds in (1, 3):
            keeper = LeaseKeeper(engine, ledger, ["ai"], lock_duration=LEASE, clock=iter([0.0, seconds]).__next__)
            clock.advance(seconds=1)
            before = engine.calls.count("extend")
            keeper.turn(InstantStop())
            extended.append(engine.calls.count("extend") - before)
        assert extended[1] > 2 * extended[0] > 0


class TestAfterAFlush:
    def test_extends_once_what_a_sign_of_life_has_written_anew(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        ledger.flush()
        ledger.mark_alive(ref, "worker")
        clock.advance(seconds=5)
        for _ in range(3):
            keeper.turn(InstantStop())
        assert engine.calls.count("extend") == 1
        assert expires_in(engine, ref) == LEASE
        clock.advance(seconds=10)
        keeper.turn(InstantStop())
        assert engine.calls.count("extend") == 2

    def test_ends_its_turn_and_comes_to_every_queue(
        self, engine: FakeEngine, ledger: FakeLedger, fetch: Callable[..., ExternalTask]
    ) -> None:
        keeper = LeaseKeeper(engine, ledger, ["ai", "generic"], lock_duration=timedelta(0))
        for number in range(2 * BATCH):
            task = engine.add()
            fetch()
            ledger.mark_alive(dispatch_ref(task, token=number + 1), "worker")
        last = engine.add()
        fetch(holder="bridge/generic")
        ledger.mark_alive(dispatch_ref(last, holder="bridge/generic"), "worker")
        keeper.turn(InstantStop())
        assert engine.calls.count("extend") == BATCH + 1


class TestBesideAFailure:
    """A failure is reported by another thread while the keeper is at work."""

    @pytest.fixture
    def fail(self, engine: FakeEngine, ledger: FakeLedger) -> Callable[[DispatchRef], None]:
        def report(ref: DispatchRef) -> None:
            ledger.claim_report(ref, "ai")
            engine.fail(ref.external_task_id, ref.holder, message="m", details="d", retries=2, retry_in=HOUR)
            ledger.back_off(ref, "ai", HOUR, same_try=False)

        return report

    def test_leaves_the_retry_timer_of_what_failed_since_it_was_claimed(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        fail: Callable[[DispatchRef], None],
        clock: FrozenClock,
    ) -> None:
        refs = []
        for _ in range(2):
            engine.add()
            refs.append(in_flight())
        clock.advance(seconds=15)
        beats: list[str] = []

        def beat() -> None:
            beats.append("beat")
            if len(beats) == 2:
                fail(refs[1])

        LeaseKeeper(engine, ledger, ["ai"], lock_duration=LEASE, beat=beat).turn(InstantStop())
        assert [expires_in(engine, ref) for ref in refs] == [LEASE, HOUR]

    def test_leaves_what_was_fetched_anew_since_it_was_claimed(
        self,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        fail: Callable[[DispatchRef], None],
        clock: FrozenClock,
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=15)

        def fail_and_fetch() -> None:
            fail(ref)
            clock.advance(seconds=HOUR.total_seconds() + 1)
            in_flight()
            clock.advance(seconds=5)

        keeper = LeaseKeeper(engine, ledger, ["ai"], lock_duration=LEASE, beat=fail_and_fetch)
        keeper.turn(InstantStop())
        assert ledger.entries[ref.external_task_id].state is State.PUBLISHED
        assert expires_in(engine, ref) == LEASE - timedelta(seconds=5)

    def test_takes_no_lease_again_that_became_a_retry_timer(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        fail: Callable[[DispatchRef], None],
        clock: FrozenClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=120)
        find = engine.find

        def failed_meanwhile(task: ExternalTaskId) -> ExternalTask:
            fail(ref)
            return find(task)

        with monkeypatch.context() as patch:
            patch.setattr(engine, "find", failed_meanwhile)
            keeper.turn(InstantStop())
        assert "lock" not in engine.calls
        assert expires_in(engine, ref) == HOUR

    def test_moves_the_retry_only_where_the_failure_falls_into_the_call_itself_and_says_so(
        self,
        keeper: LeaseKeeper,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        fail: Callable[[DispatchRef], None],
        clock: FrozenClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine.add()
        ref = in_flight()
        clock.advance(seconds=15)
        extend = engine.extend

        def overtaken(task: ExternalTaskId, holder: str, duration: timedelta) -> None:
            fail(ref)
            extend(task, holder, duration)

        monkeypatch.setattr(engine, "extend", overtaken)
        with capture_logs() as logs:
            keeper.turn(InstantStop())
            clock.advance(seconds=15)
            keeper.turn(InstantStop())
        assert [line["event"] for line in logs] == ["lease.retry_moved"]
        assert expires_in(engine, ref) == LEASE - timedelta(seconds=15)
