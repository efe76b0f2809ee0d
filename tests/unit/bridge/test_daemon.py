"""How the bridge ends: with one limit for everything that runs, and never keeping its replica id."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge import daemon
from bridge.presence import Presence
from procos.domain.errors import EngineUnreachableError
from procos.settings import load_settings
from procos.testing import FakeRegistry, Register

if TYPE_CHECKING:
    from collections.abc import Callable

DRAIN, LONG = 20.0, 60.0
ALL = DRAIN + daemon.POLLER_STOP_SECONDS


class Time:
    """The monotonic clock, which joins move."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Thread:
    """A thread that ends so long after the bridge was told to stop; notes until when it was waited for."""

    def __init__(self, time: Time, name: str, seconds: float) -> None:
        self.name, self._time, self._end = name, time, time.now + seconds
        self.waited = 0.0

    def join(self, timeout: float) -> None:
        self.waited = min(timeout, max(self._end - self._time.now, 0.0))
        self._time.now += self.waited

    def is_alive(self) -> bool:
        return self._time.now < self._end


class TestStop:
    @pytest.fixture
    def time(self, monkeypatch: pytest.MonkeyPatch) -> Time:
        time = Time()
        monkeypatch.setattr(daemon, "time", time)
        return time

    @pytest.fixture
    def stop(self, time: Time) -> Callable[..., tuple[float, dict[str, float]]]:
        """Stop threads that take so long; returns how long that took, and how long each was waited for."""

        def stopped(release: Callable[[], None] = lambda: None, **seconds: float) -> tuple[float, dict[str, float]]:
            threads: Any = [Thread(time, name.replace("_", "-"), each) for name, each in seconds.items()]
            pollers = [SimpleNamespace(name="ai", release=release)]
            parts: Any = SimpleNamespace(callbacks=SimpleNamespace(wake=lambda: None), pollers=pollers)
            settings = load_settings({"PROCOS_BRIDGE_DRAIN_TIMEOUT": str(DRAIN)}, dotenv=None)
            shared: Any = SimpleNamespace(settings=settings)
            began = time.now
            daemon._stop(shared, parts, threads)
            return time.now - began, {thread.name: thread.waited for thread in threads}

        return stopped

    def test_waits_for_all_together_no_longer_than_for_one(self, stop: Callable[..., Any]) -> None:
        took, _ = stop(callbacks=LONG, watcher=LONG, poller_ai=LONG, poller_generic=LONG, reconciler=LONG)
        assert took == ALL

    def test_waits_for_the_pollers_first_and_not_long(self, stop: Callable[..., Any]) -> None:
        took, waited = stop(callbacks=1.0, poller_ai=LONG, poller_generic=LONG)
        assert waited == {"callbacks": 0.0, "poller-ai": daemon.POLLER_STOP_SECONDS, "poller-generic": 0.0}
        assert took == daemon.POLLER_STOP_SECONDS

    def test_gives_reports_their_time_whatever_else_hangs(self, stop: Callable[..., Any]) -> None:
        _, waited = stop(watcher=DRAIN / 2, callbacks=DRAIN, poller_ai=LONG)
        assert sum(waited.values()) == DRAIN

    def test_does_not_wait_for_an_engine_that_hangs(self, stop: Callable[..., Any]) -> None:
        hangs = threading.Event()
        took, _ = stop(hangs.wait, callbacks=2.0, poller_ai=1.0)
        hangs.set()
        assert took == 2.0

    def test_goes_on_without_an_engine(self, stop: Callable[..., Any]) -> None:
        def release() -> None:
            raise EngineUnreachableError("engine", "gone")

        assert stop(release, callbacks=2.0)[0] == 2.0


class TestRunBridge:
    @pytest.fixture
    def register(self) -> Register:
        return Register()

    @pytest.fixture
    def run(self, register: Register, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Run a bridge that takes its replica id, and then does this instead of looking for orphans."""
        monkeypatch.setattr("signal.signal", lambda *_: None)
        monkeypatch.setattr(daemon, "_greet", lambda _: None)

        def run(begin: Callable[[threading.Event], None]) -> None:
            def wire(shared: Any) -> Any:
                present = Presence(
                    FakeRegistry(register),
                    shared.settings.bridge.replica_id,
                    [],
                    recover=lambda: None,
                    leave=shared.stop.set,
                )
                return SimpleNamespace(
                    presence=present, orphans=SimpleNamespace(begin=lambda: begin(shared.stop)), pollers=()
                )

            monkeypatch.setattr(daemon, "wire", wire)
            daemon.run_bridge(load_settings({"PROCOS_BRIDGE_HEALTH_PORT": "0"}, dotenv=None))

        return run

    def test_gives_its_replica_id_back_when_it_is_stopped_while_it_starts(
        self, run: Callable[..., None], register: Register
    ) -> None:
        held: list[int] = []

        def told_to_stop(stop: threading.Event) -> None:
            held.append(len(register.held))
            stop.set()
            raise EngineUnreachableError("engine", "gone")

        run(told_to_stop)
        assert (held, register.held) == ([1], {})

    def test_gives_its_replica_id_back_when_it_cannot_start(self, run: Callable[..., None], register: Register) -> None:
        def refused(_: threading.Event) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run(refused)
        assert register.held == {}
