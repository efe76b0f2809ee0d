"""Leases of what is in flight are extended at half-time, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bridge.lease_keeper import LeaseKeeper
from procos.domain.errors import EngineUnreachableError
from procos.ledger_keys import State
from procos.testing import InstantStop

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask
    from procos.testing import FakeEngine, FakeLedger, FrozenClock

LEASE = timedelta(seconds=20)


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
