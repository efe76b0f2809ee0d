"""The heartbeat: whom it shows, whom it tells, and whom it stops."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import NoScriptError

from procos.settings import RedisSettings
from procos.testing import dispatch_ref
from tasks import heartbeat as heartbeat_module
from tasks.heartbeat import Heartbeat, RedisSigns, heartbeat
from tasks.interruption import Interruption
from tasks.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Signs:
    """The ledger's ear; `cancelled` are the runs it says -1 of."""

    def __init__(self) -> None:
        self.shown: list[list[Run]] = []
        self.cancelled: set[Run] = set()
        self.error: redis.RedisError | None = None
        self.heard = threading.Event()

    def show(self, runs: Sequence[Run]) -> Sequence[int]:
        self.shown.append(list(runs))
        self.heard.set()
        if self.error:
            raise self.error
        return [-1 if run in self.cancelled else 1 for run in runs]


class Blows(Interruption):
    """Notes whom it would stop."""

    def __init__(self) -> None:
        super().__init__()
        self.struck: list[object] = []

    def arm(self) -> None:
        self.struck.append("armed")

    def interrupt(self, run: Run) -> None:
        self.struck.append(run)

    def kill(self) -> None:
        self.struck.append("killed")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(name: str = "task-1", *, process: bool = False, working: bool = True) -> Run:
    return Run(
        ref=dispatch_ref(name), queue="ai", worker="w", in_process_of_its_own=process, is_working=working
    )  # fmt: skip


@pytest.fixture
def signs() -> Signs:
    return Signs()


@pytest.fixture
def blows() -> Blows:
    return Blows()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beating(signs: Signs, blows: Blows, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """A heartbeat whose thread never beats by itself."""
    monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 3600)
    return Heartbeat(signs, interruption=blows, clock=clock)


class TestHeartbeat:
    def test_shows_all_that_runs_at_once(self, beating: Heartbeat, signs: Signs) -> None:
        runs = [run("a"), run("b")]
        for each in runs:
            beating.add(each)
        beating.beat()
        assert {each.id for each in signs.shown[0]} == {each.id for each in runs}

    def test_shows_nothing_that_has_ended(self, beating: Heartbeat, signs: Signs) -> None:
        ended, going = run("a"), run("b")
        beating.add(ended)
        beating.add(going)
        beating.remove(ended)
        beating.remove(ended)
        beating.beat()
        assert signs.shown == [[going]]

    def test_asks_nobody_while_nothing_runs(self, beating: Heartbeat, signs: Signs) -> None:
        beating.beat()
        assert signs.shown == []

    def test_forgets_a_run_that_nobody_holds(self, beating: Heartbeat) -> None:
        beating.add(run())
        gc.collect()
        assert beating.running() == []

    def test_tells_what_was_cancelled_and_no_other(self, beating: Heartbeat, signs: Signs) -> None:
        gone, going = run("a"), run("b")
        beating.add(gone)
        beating.add(going)
        signs.cancelled = {gone}
        beating.beat()
        assert (gone.cancelled.is_set(), going.cancelled.is_set()) == (True, False)

    def test_goes_on_without_redis(self, beating: Heartbeat, signs: Signs) -> None:
        going = run()
        beating.add(going)
        signs.error = redis.ConnectionError("gone")
        beating.beat()
        beating.beat()
        signs.error = None
        beating.beat()
        assert len(signs.shown) == 3
        assert not going.cancelled.is_set()

    def test_beats_by_itself_while_something_runs(self, signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.001)
        beating, going = Heartbeat(signs), run()
        beating.add(going)
        assert signs.heard.wait(5)
        beating.remove(going)
        (thread,) = [each for each in threading.enumerate() if each is beating._thread]
        assert (thread.name, thread.daemon) == ("heartbeat", True)

    def test_beats_on_after_an_error_nobody_foresaw(self, signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heartbeat_module, "BEAT_SECONDS", 0.001)
        beating, going = Heartbeat(signs), run()
        signs.error = ValueError("odd")  # type: ignore[assignment]  # the point of the test
        beating.add(going)
        for _ in range(3):
            signs.heard.clear()
            assert signs.heard.wait(5)
        beating.remove(going)

    def test_is_one_per_process_and_redis(self) -> None:
        first, again = (heartbeat("redis://127.0.0.1:1/0") for _ in range(2))
        assert first is again
        assert first is not heartbeat("redis://127.0.0.1:1/1")


class TestCancelledRun:
    @pytest.fixture
    def after(self, beating: Heartbeat, signs: Signs, clock: Clock) -> Callable[[Run, float], None]:
        """Cancel a run, and let it go on for so many seconds."""

        def after(cancelled: Run, seconds: float) -> None:
            beating.add(cancelled)
            signs.cancelled = {cancelled}
            beating.beat()
            clock.now += seconds
            beating.beat()

        return after

    @pytest.mark.parametrize(("seconds", "struck"), [(4.9, False), (5, True)])
    def test_is_interrupted_after_five_seconds(
        self,
        after: Callable[[Run, float], None],
        blows: Blows,
        seconds: float,
        struck: bool,  # noqa: FBT001  # a table's column
    ) -> None:
        cancelled = run(process=True)
        after(cancelled, seconds)
        assert blows.struck == ["armed", *([cancelled] if struck else [])]

    def test_is_interrupted_once_and_its_process_killed_ten_seconds_later(
        self, after: Callable[[Run, float], None], beating: Heartbeat, blows: Blows, clock: Clock
    ) -> None:
        cancelled = run(process=True)
        after(cancelled, 5)
        clock.now += 9
        beating.beat()
        assert blows.struck == ["armed", cancelled]
        clock.now += 1
        beating.beat()
        assert blows.struck == ["armed", cancelled, "killed"]

    def test_is_stopped_without_redis_too(
        self, after: Callable[[Run, float], None], beating: Heartbeat, signs: Signs, blows: Blows, clock: Clock
    ) -> None:
        cancelled = run(process=True)
        after(cancelled, 1)
        signs.error = redis.ConnectionError("gone")
        clock.now += 5
        beating.beat()
        assert blows.struck == ["armed", cancelled]

    @pytest.mark.parametrize("spared", [run(process=False), run(process=True, working=False)])
    def test_in_a_thread_or_with_its_work_done_is_but_told(
        self, after: Callable[[Run, float], None], blows: Blows, spared: Run
    ) -> None:
        after(spared, 60)
        assert spared.cancelled.is_set()
        assert blows.struck in ([], ["armed"])

    def test_that_has_ended_is_left_alone(
        self, after: Callable[[Run, float], None], beating: Heartbeat, blows: Blows, clock: Clock
    ) -> None:
        cancelled, following = run("a", process=True), run("b", process=True)
        after(cancelled, 1)
        beating.remove(cancelled)
        beating.add(following)
        clock.now += 60
        beating.beat()
        beating._insist(cancelled)
        assert blows.struck == ["armed", "armed"]


class TestRedisSigns:
    def test_loads_its_script_again_after_a_flush(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Client()
        monkeypatch.setattr(heartbeat_module, "client", lambda _: client)
        signs = RedisSigns(RedisSettings().url)
        runs = [run("a"), run("b")]
        assert (signs.show(runs), client.loaded, client.executed) == ([1, 1], 1, 1)
        client.is_flushed = True
        assert (signs.show(runs), client.loaded, client.executed) == ([1, 1], 2, 3)

    def test_raises_what_redis_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Client()
        client.answer = redis.ResponseError("OOM")
        monkeypatch.setattr(heartbeat_module, "client", lambda _: client)
        with pytest.raises(redis.ResponseError):
            RedisSigns(RedisSettings().url).show([run()])


class Client:
    """As much of redis-py as signs of life need."""

    def __init__(self) -> None:
        self.loaded = self.executed = 0
        self.is_flushed = False
        self.answer: Any = 1
        self._queued = 0

    def script_load(self, _: str) -> str:
        self.loaded, self.is_flushed = self.loaded + 1, False
        return "sha"

    def pipeline(self, *, transaction: bool) -> Client:
        assert not transaction
        self._queued = 0
        return self

    def evalsha(self, *_: object) -> None:
        self._queued += 1

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self.executed += 1
        return [NoScriptError("flushed") if self.is_flushed else self.answer] * self._queued
