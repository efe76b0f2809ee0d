from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from procos.kernel import run as run_module
from procos.kernel.plan import Plan
from procos.kernel.run import SECOND_TRIES, run_stack
from procos.kernel.stack import Failure

if TYPE_CHECKING:
    from procos.kernel.state import StackFolder

PORT = 40123


class Attempts:
    """Stands in for the supervisor: fails as often as it is told, and counts."""

    def __init__(self, *failures: Failure | None) -> None:
        self.failures = list(failures)
        self.started = self.concluded = 0
        self.warnings: tuple[str, ...] = ()

    def __call__(self, plan: Plan, **_: Any) -> Attempts:
        self.started += 1
        self.warnings = plan.warnings
        return self

    def run(self) -> Failure | None:
        return self.failures.pop(0)

    def conclude(self) -> None:
        self.concluded += 1


@pytest.fixture
def attempt(fakes: Any, settings: Any, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(supervisor: Attempts, *, port_is_free: bool) -> Failure | None:
        plan = Plan(parts=(fakes.part(port=PORT),), environment={})
        monkeypatch.setattr(run_module, "make_plan", lambda *_, **__: plan)
        monkeypatch.setattr(run_module, "Supervisor", supervisor)
        monkeypatch.setattr(run_module, "is_free", lambda port: port_is_free or port != PORT)
        return run_stack(settings(), folder=folder, only=(), observer=None)  # type: ignore[arg-type]  # never asked

    return run


FAILED = Failure(part="redis", reason="ended with code 1")


class TestRunStack:
    def test_tries_again_when_somebody_else_took_the_port_meanwhile(self, attempt: Any) -> None:
        supervisor = Attempts(FAILED, None)

        assert attempt(supervisor, port_is_free=False) is None
        assert (supervisor.started, supervisor.concluded) == (2, 1)
        assert supervisor.warnings == ("redis: another program took its port meanwhile; starting again",)

    def test_does_not_try_for_ever(self, attempt: Any) -> None:
        supervisor = Attempts(*[FAILED] * (1 + SECOND_TRIES))

        assert attempt(supervisor, port_is_free=False) is FAILED
        assert supervisor.started == 1 + SECOND_TRIES

    def test_does_not_try_again_what_failed_for_another_reason(self, attempt: Any) -> None:
        supervisor = Attempts(FAILED)

        assert attempt(supervisor, port_is_free=True) is FAILED
        assert (supervisor.started, supervisor.concluded) == (1, 1)
