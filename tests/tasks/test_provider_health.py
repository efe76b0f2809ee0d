"""The health check of an AI provider: what it asks, and that nobody waits for it for long."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import StepCancelled
from tasks.ai.providers import health, waiting
from tasks.ai.providers.lookout import checked
from tests.ai_samples import profile
from tests.tasks.stubborn_server import drips_its_header, says_nothing, stubborn

if TYPE_CHECKING:
    from tests.tasks.stubborn_server import Behaviour


@pytest.fixture(autouse=True)
def looks_often_and_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)
    health.forget()


def health_of(port: int, *, limit: float) -> str:
    asked = profile(health_timeout=timedelta(seconds=limit))
    return health.of(asked, f"http://127.0.0.1:{port}/models", {})


class TestHealth:
    @pytest.mark.parametrize("behaviour", [says_nothing, drips_its_header])
    def test_is_bad_where_the_answer_is_not_there_in_time(self, behaviour: Behaviour) -> None:
        with stubborn(behaviour) as port:
            assert "does not answer (ReadTimeout)" in health_of(port, limit=0.1)

    def test_is_bad_where_nobody_listens(self) -> None:
        assert "does not answer (ConnectError)" in health_of(9, limit=1)

    def test_is_not_waited_for_by_a_step_that_was_cancelled(self) -> None:
        is_asked = threading.Event()

        def raise_if_cancelled() -> None:
            if is_asked.is_set():
                raise StepCancelled("the step was cancelled")

        def hangs(_: object, over: threading.Event) -> None:
            is_asked.set()
            over.wait(5)

        with stubborn(hangs) as port, checked(raise_if_cancelled), pytest.raises(StepCancelled):
            health_of(port, limit=3)
