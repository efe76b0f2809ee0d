"""A bridge holds its replica id, waits for a lease to end, and gives way to whoever took it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from bridge import presence
from bridge.presence import Presence
from procos.domain.errors import ReplicaTakenError
from procos.testing import FakeRegistry, InstantStop, Register

if TYPE_CHECKING:
    from procos.testing import FrozenClock


@pytest.fixture
def register(clock: FrozenClock) -> Register:
    return Register(clock=clock, has_epoch=True)


class Bridge:
    """A presence, and what it asked for."""

    def __init__(self, register: Register) -> None:
        self.asked: list[str] = []
        self.presence = Presence(
            FakeRegistry(register),
            "bridge",
            ["bridge/ai", "bridge/generic"],
            recover=lambda: self.asked.append("recover"),
            leave=lambda: self.asked.append("leave"),
        )


class TestPresence:
    def test_waits_until_the_lease_of_a_killed_bridge_ends(self, register: Register, clock: FrozenClock) -> None:
        class PassingTime(InstantStop):
            def wait(self, timeout: float | None = None) -> bool:
                clock.advance(seconds=timeout or 0.0)
                return super().wait(timeout)

        Bridge(register).presence.arrive(threading.Event())
        stop = PassingTime()
        Bridge(register).presence.arrive(stop)
        assert sum(stop.waits) == pytest.approx(10, abs=0.5)

    def test_refuses_a_second_bridge_of_the_same_id(self, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = Bridge(register).presence, Bridge(register).presence
        first.arrive(threading.Event())
        monkeypatch.setattr(presence, "PATIENCE_SECONDS", 0.0)
        with pytest.raises(ReplicaTakenError, match="PROCOS_BRIDGE_REPLICA_ID"):
            second.arrive(InstantStop())

    def test_stops_waiting_when_it_is_told_to(self, register: Register) -> None:
        first, stop = Bridge(register).presence, InstantStop(after=2)
        first.arrive(threading.Event())
        Bridge(register).presence.arrive(stop)
        assert stop.waits == [presence.RETRY_SECONDS] * 2
        first.turn()
        assert first.taken_by is None

    def test_shows_its_worker_ids_again_when_others_have_taken_it_for_gone(self, register: Register) -> None:
        bridge = Bridge(register).presence
        bridge.arrive(threading.Event())
        bridge.turn()
        register.holders.clear()
        bridge.turn()
        assert register.holders == {"bridge/ai", "bridge/generic"}

    def test_lets_the_next_have_the_id_at_once(self, register: Register) -> None:
        first = Bridge(register).presence
        first.arrive(threading.Event())
        first.depart()
        stop = InstantStop()
        Bridge(register).presence.arrive(stop)
        assert stop.waits == []

    def test_leaves_when_another_has_taken_its_id(self, register: Register, clock: FrozenClock) -> None:
        first, second = Bridge(register), Bridge(register)
        first.presence.arrive(threading.Event())
        clock.advance(seconds=11)
        second.presence.arrive(threading.Event())
        first.presence.turn()
        assert first.asked == ["leave"]
        assert first.presence.taken_by
        second.presence.turn()
        assert second.asked == []

    def test_has_the_ledger_written_anew_after_a_flush(self, register: Register) -> None:
        bridge = Bridge(register)
        bridge.presence.arrive(threading.Event())
        register.flush()
        bridge.presence.turn()
        bridge.presence.turn()
        assert bridge.asked == ["recover"]
