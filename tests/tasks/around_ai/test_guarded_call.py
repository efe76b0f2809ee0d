"""What stands around a call, where no Redis is needed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import StepCancelled
from procos.settings import load_settings
from tasks.ai.breaker import Breakers
from tasks.ai.guarded_call import GuardedCall
from tasks.ai.providers.lookout import look
from tests.ai_samples import REDIS_AWAY, context_of, free_profile, question

if TYPE_CHECKING:
    from tasks.ai.provider import Provider


class TestTrialOfTheBreaker:
    def test_ends_when_the_step_is_cancelled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def waits(_: Breakers, provider: Provider) -> None:
            look()
            pytest.fail(f"still waits for {provider.profile.name}")

        monkeypatch.setattr(Breakers, "refuse_if_open", waits)
        context = context_of(load_settings({"PROCOS_REDIS_URL": REDIS_AWAY}, dotenv=None), cancelled=lambda: True)
        with pytest.raises(StepCancelled):
            GuardedCall(context)(free_profile(), question())
