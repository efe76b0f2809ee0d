"""What becomes of a result after a try to report it, and when the loop pauses, waits and goes on."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import pytest

import bridge.callbacks
from bridge.acknowledgements import PATIENCE_SECONDS
from bridge.callbacks import IDLE_SECONDS, Callbacks
from bridge.disposals import Decision, Disposal
from procos.domain.errors import EngineDeniedError, EngineRejectedError, EngineUnreachableError
from procos.domain.outcome import Completion, to_envelope
from procos.settings import BrokerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.bulk_reporter import BulkReporter
    from bridge.reporter import Reporter
    from procos.domain.dispatch import DispatchRef
    from procos.testing import FakeEngine, FakeLedger

ENVELOPE = dict(to_envelope(Completion()).fields)
UNREACHABLE = EngineUnreachableError("engine", "gone")


class Later(Executor):
    """Completers that do their work when the test says so."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._calls.append(lambda: fn(*args, **kwargs))
        return Future()

    def work(self) -> int:
        calls, self._calls = self._calls, []
        for call in calls:
            call()
        return len(calls)


class FakeConsumer:
    """Knows whether messages are asked for."""

    def __init__(self) -> None:
        self.consumes = True

    def consume(self) -> None:
        self.consumes = True

    def cancel(self) -> None:
        self.consumes = False


class FakeParking:
    """Takes messages, unless told otherwise."""

    def __init__(self) -> None:
        self.keep_back_seconds = 0.0
        self.refuses = False
        self.parked: list[Any] = []
        self.buried: list[Any] = []

    def park(self, message: Any, _reason: str) -> bool:
        return self._take(message, self.parked)

    def bury(self, message: Any, _reason: str) -> bool:
        return self._take(message, self.buried)

    def _take(self, message: Any, place: list[Any]) -> bool:
        if not self.refuses:
            place.append(message)
        return not self.refuses


class Time:
    """The monotonic clock, which the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Loop:
    """The consumer of results without broker and threads: what `run` does, step by step."""

    def __init__(self, reporter: Reporter, bulk: BulkReporter, ledger: FakeLedger, time: Time) -> None:
        self.callbacks = Callbacks(reporter, bulk, ledger, BrokerSettings(), completers=1, queues=["ai"])
        self.time, self.consumer = time, FakeConsumer()
        self.completers, self.mover, self.parking = Later(), Later(), FakeParking()
        threads = self.callbacks._completers
        threads._pool = threads._singles = self.completers  # type: ignore[assignment]  # as much of it as is used
        self.settler = threads._settler._pool = Later()  # type: ignore[assignment]  # the same
        for name, part in {"_mover": self.mover, "_parking": self.parking}.items():
            setattr(self.callbacks, name, part)

    def deliver(self, *messages: Any) -> None:
        for message in messages:
            self.callbacks._receive(message)

    def turn(self, seconds: float = 0.0) -> int:
        """Let time pass, then everybody do what there is to do once; returns how many messages were reported."""
        self.time.now += seconds
        self.settle()
        reported = self.completers.work()
        self.settler.work()
        self.settle()
        self.mover.work()
        self.settle()
        return reported

    def settle(self) -> None:
        self.callbacks._settle(self.consumer)  # type: ignore[arg-type]  # as much of it as is used

    def decide(self, message: Any) -> Decision:
        return self.callbacks._completers.decide(message)

    def patience(self) -> float:
        return self.callbacks._patience()


@pytest.fixture
def loop(reporter: Reporter, bulk: BulkReporter, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch) -> Loop:
    time = Time()
    monkeypatch.setattr(bridge.callbacks, "time", time)
    return Loop(reporter, bulk, ledger, time)


@pytest.fixture
def result(
    engine: FakeEngine, in_flight: Callable[..., DispatchRef], message: Callable[..., Any]
) -> Callable[..., Any]:
    """Let an instance arrive at a step, and build the result of its dispatch; it notes that it was acknowledged."""

    def arrive(task: str = "procos.complete", *, payload: object = None) -> Any:
        engine.add()
        argument: object = ENVELOPE if task == "procos.complete" else "id"
        built = message(task, payload or ([argument], {"dispatch": in_flight().to_json()}, {}))
        built.acknowledged, built.delivery_info, built.delivery_tag = False, {}, len(delivered) + 1

        def acknowledge(*, multiple: bool = False) -> None:
            for each in delivered[: built.delivery_tag] if multiple else [built]:
                each.acknowledged = True

        built.ack = acknowledge
        delivered.append(built)
        return built

    delivered: list[Any] = []
    return arrive


class TestReport:
    def test_is_acknowledged(self, loop: Loop, result: Callable[..., Any], engine: FakeEngine) -> None:
        message = result()
        loop.deliver(message)
        assert not message.acknowledged
        loop.turn()
        assert message.acknowledged
        assert len(engine.completed) == 1

    def test_counts_how_often_the_message_was_parked(
        self, loop: Loop, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        message = result()
        refusal = EngineRejectedError("Unknown property ${x}", status=500, kind="ProcessEngineException")
        engine.refuse_next(refusal)
        assert loop.decide(message).disposal is Disposal.PARK
        message.headers["procos-parked"] = 2
        engine.refuse_next(refusal)
        assert loop.decide(message).disposal is Disposal.ACKNOWLEDGE
        assert len(engine.incidents) == 1

    def test_of_a_failure_without_ledger_is_parked(
        self, loop: Loop, result: Callable[..., Any], ledger: FakeLedger
    ) -> None:
        message = result("procos.fail")
        ledger.is_down = True
        loop.deliver(message)
        loop.turn()
        assert loop.parking.parked == [message]
        assert message.acknowledged

    def test_that_cannot_be_read_is_buried(self, loop: Loop, result: Callable[..., Any]) -> None:
        message = result(payload="garbage")
        loop.deliver(message)
        loop.turn()
        assert loop.parking.buried == [message]
        assert message.acknowledged

    def test_that_a_defect_of_ours_stops_is_parked(
        self, loop: Loop, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        message = result()
        engine.refuse_next(ZeroDivisionError("oops"))  # type: ignore[arg-type]  # what nobody foresaw
        decision = loop.decide(message)
        assert (decision.disposal, decision.reason) == (Disposal.PARK, "ZeroDivisionError: oops")
        assert not decision.engine_answered


class TestPause:
    @pytest.fixture
    def held(self, loop: Loop, result: Callable[..., Any], engine: FakeEngine) -> list[Any]:
        """Three results that the engine, which is down, could not take."""
        messages = [result() for _ in range(3)]
        engine.is_down = True
        loop.deliver(*messages)
        loop.turn()
        return messages

    def test_begins_when_the_engine_is_unreachable(self, loop: Loop, held: list[Any]) -> None:
        assert not loop.consumer.consumes
        assert not any(message.acknowledged for message in held)

    def test_tries_one_result_a_second(self, loop: Loop, held: list[Any]) -> None:  # noqa: ARG002  # what is held
        assert [loop.turn(seconds) for seconds in (0.5, 0.6, 0.1, 1.0)] == [0, 1, 0, 1]

    def test_ends_when_the_engine_takes_one(self, loop: Loop, held: list[Any], engine: FakeEngine) -> None:
        engine.is_down = False
        assert loop.turn(1.0) == 1
        assert loop.consumer.consumes
        assert loop.turn() == 2
        assert all(message.acknowledged for message in held)

    def test_ends_when_the_engine_refuses_one(self, loop: Loop, held: list[Any], engine: FakeEngine) -> None:
        engine.is_down = False
        engine.refuse_next(EngineDeniedError("401", status=401))
        loop.turn(1.0)
        assert loop.consumer.consumes
        assert len(loop.parking.parked) == 1
        assert loop.parking.parked[0] in held

    @pytest.mark.parametrize("what", ["parked for want of a ledger", "unreadable"])
    def test_outlasts_what_says_nothing_about_the_engine(
        self,
        loop: Loop,
        held: list[Any],
        result: Callable[..., Any],
        engine: FakeEngine,
        ledger: FakeLedger,
        what: str,
    ) -> None:
        engine.is_down = False
        message = result(payload="garbage") if what == "unreadable" else result("procos.fail")
        engine.is_down, ledger.is_down = True, True
        loop.deliver(message)
        assert loop.turn() == 1
        assert not message.acknowledged, "those that came before it may still be"
        loop.turn(PATIENCE_SECONDS)
        assert message.acknowledged
        assert not loop.consumer.consumes
        assert loop.turn() == 0, f"{len(held)} are held, and not one is tried before its time"

    def test_ends_when_nothing_is_left_to_try(
        self, loop: Loop, result: Callable[..., Any], engine: FakeEngine, ledger: FakeLedger
    ) -> None:
        message = result("procos.fail")
        engine.refuse_next(UNREACHABLE)
        loop.deliver(message)
        loop.turn()
        assert not loop.consumer.consumes
        ledger.is_down = True
        loop.turn(1.0)
        assert loop.parking.parked == [message]
        loop.turn(1.0)
        assert loop.consumer.consumes

    def test_waits_in_patience_while_the_one_that_is_tried_hangs(
        self, loop: Loop, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        message = result()
        engine.refuse_next(UNREACHABLE)
        loop.deliver(message)
        loop.turn()
        assert loop.patience() == 1.0
        loop.time.now += 1.0
        loop.settle()
        loop.time.now += 19.0
        assert loop.patience() == IDLE_SECONDS


class TestHandBack:
    @pytest.fixture
    def woken(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many were handed back at each time the loop was woken."""
        calls: list[int] = []
        callbacks = loop.callbacks
        monkeypatch.setattr(callbacks._wakeup, "set", lambda: calls.append(callbacks._returned.qsize()))
        return calls

    def test_wakes_a_loop_that_may_sleep_for_long(
        self, loop: Loop, result: Callable[..., Any], woken: list[int]
    ) -> None:
        loop.deliver(result())
        loop.settle()
        loop.completers.work()
        assert woken == [1]

    def test_waits_for_the_next_turn_while_others_come_until_they_are_many(
        self, loop: Loop, result: Callable[..., Any], woken: list[int]
    ) -> None:
        loop.deliver(result())
        loop.settle()
        loop.completers.work()
        loop.settle()
        assert loop.patience() == PATIENCE_SECONDS
        woken.clear()
        loop.deliver(*(result() for _ in range(3)))
        loop.callbacks._completers.send_off()
        loop.completers.work()
        assert woken == [2, 3], "a completer has eight on their way, and a quarter of them is enough"

    def test_wakes_for_what_is_not_only_to_be_acknowledged(
        self, loop: Loop, result: Callable[..., Any], woken: list[int]
    ) -> None:
        loop.deliver(result())
        loop.settle()
        loop.completers.work()
        loop.settle()
        woken.clear()
        loop.deliver(result(payload="garbage"))
        loop.callbacks._completers.send_off()
        loop.completers.work()
        assert woken == [1]


class TestMove:
    def test_is_tried_again_when_the_broker_did_not_take_it(self, loop: Loop, result: Callable[..., Any]) -> None:
        message = result(payload="garbage")
        loop.parking.refuses = True
        loop.deliver(message)
        loop.turn()
        assert not message.acknowledged
        loop.settle()
        assert loop.patience() == 1.0
        loop.parking.refuses = False
        loop.turn(1.0)
        assert loop.parking.buried == [message]
        assert message.acknowledged

    def test_waits_for_its_time_where_the_broker_has_no_timed_queues(
        self, loop: Loop, result: Callable[..., Any], engine: FakeEngine
    ) -> None:
        message = result()
        loop.parking.keep_back_seconds = 3.0
        engine.refuse_next(EngineDeniedError("401", status=401))
        loop.deliver(message)
        loop.turn()
        assert (loop.parking.parked, message.acknowledged, loop.patience()) == ([], False, 3.0)
        loop.turn(3.0)
        assert (loop.parking.parked, message.acknowledged) == ([message], True)

    def test_is_left_undone_when_the_connection_was_lost(self, loop: Loop, result: Callable[..., Any]) -> None:
        message = result(payload="garbage")
        loop.deliver(message)
        loop.completers.work()
        loop.settle()
        loop.callbacks._begin_generation()
        loop.mover.work()
        loop.settle()
        assert (loop.parking.buried, message.acknowledged) == ([], False)
