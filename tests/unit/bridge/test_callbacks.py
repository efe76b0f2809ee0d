"""What is done with a result after a try to report it: the table of errors and disposals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bridge.callbacks import Callbacks, Disposal
from bridge.reporter import Reporter
from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineMisconfiguredError,
    EngineRejectedError,
    EngineUnreachableError,
    ProcosError,
)
from procos.domain.outcome import Completion, to_envelope
from procos.settings import BrokerSettings
from procos.testing import InstantStop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import Topic
    from procos.routes import Route
    from procos.testing import FakeEngine, FakeLedger

ENVELOPE = dict(to_envelope(Completion()).fields)


@pytest.fixture
def callbacks(engine: FakeEngine, ledger: FakeLedger, table: Mapping[Topic, Route]) -> Iterator[Callbacks]:
    reporter = Reporter(engine, ledger, table, stop=InstantStop())
    callbacks = Callbacks(reporter, ledger, BrokerSettings(), completers=1, queues=["ai"])
    yield callbacks
    callbacks._pool.shutdown()


@pytest.fixture
def result(engine: FakeEngine, in_flight: Callable[..., DispatchRef], message: Callable[..., Any]) -> Any:
    """A completion of a step that is open."""
    engine.add()
    return message("procos.complete", ([ENVELOPE], {"dispatch": in_flight().to_json()}, {}))


class TestDisposal:
    def test_of_what_was_reported_is_to_acknowledge(self, callbacks: Callbacks, result: Any) -> None:
        assert callbacks._try(result) == (Disposal.ACKNOWLEDGE, "")

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (EngineUnreachableError("engine", "gone"), Disposal.HOLD),
            (EngineBusyError("503", status=503), Disposal.PARK),
            (EngineConflictError("collided", status=500, code=1), Disposal.PARK),
            (EngineDeniedError("401", status=401), Disposal.PARK),
            (EngineMisconfiguredError("404", status=404), Disposal.PARK),
        ],
    )
    def test_follows_the_engines_answer(
        self, callbacks: Callbacks, engine: FakeEngine, result: Any, error: ProcosError, expected: Disposal
    ) -> None:
        engine.refuse_next(*[error] * 20)
        disposal, reason = callbacks._try(result)
        assert (disposal, reason) == (expected, str(error))

    def test_of_a_result_that_was_parked_twice_in_vain_is_an_incident(
        self, callbacks: Callbacks, engine: FakeEngine, result: Any
    ) -> None:
        refusal = EngineRejectedError("Unknown property ${x}", status=500, kind="ProcessEngineException")
        engine.refuse_next(refusal)
        assert callbacks._try(result)[0] is Disposal.PARK
        result.headers["x-death"] = [{"queue": "callbacks.parked", "count": 2}, {"queue": "ai", "count": 9}]
        engine.refuse_next(refusal)
        assert callbacks._try(result)[0] is Disposal.ACKNOWLEDGE
        assert len(engine.incidents) == 1

    def test_of_a_suspended_instance_is_to_park(
        self,
        callbacks: Callbacks,
        engine: FakeEngine,
        in_flight: Callable[..., DispatchRef],
        message: Callable[..., Any],
    ) -> None:
        task_id = engine.add()
        result = message("procos.complete", ([ENVELOPE], {"dispatch": in_flight().to_json()}, {}))
        engine.suspend(task_id)
        assert callbacks._try(result)[0] is Disposal.PARK

    def test_of_a_failure_without_ledger_is_to_park(
        self,
        callbacks: Callbacks,
        engine: FakeEngine,
        ledger: FakeLedger,
        in_flight: Callable[..., DispatchRef],
        message: Callable[..., Any],
    ) -> None:
        engine.add()
        result = message("procos.fail", (["id"], {"dispatch": in_flight().to_json()}, {}))
        ledger.is_down = True
        assert callbacks._try(result)[0] is Disposal.PARK

    def test_of_what_cannot_be_read_is_the_dead_letters(
        self, callbacks: Callbacks, message: Callable[..., Any]
    ) -> None:
        disposal, reason = callbacks._try(message("procos.complete", "garbage"))
        assert disposal is Disposal.DEAD_LETTER
        assert "protocol 2" in reason

    def test_of_a_defect_of_ours_is_to_park(self, callbacks: Callbacks, engine: FakeEngine, result: Any) -> None:
        engine.refuse_next(ZeroDivisionError("oops"))  # type: ignore[arg-type]  # what nobody foresaw
        assert callbacks._try(result) == (Disposal.PARK, "ZeroDivisionError: oops")
