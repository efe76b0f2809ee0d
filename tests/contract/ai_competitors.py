"""Processes that want the same at the same moment: what each does, and how a test starts them.

Run as a module it is one of them: it does what it is told, and prints what came of it as JSON, below what is logged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, RateLimited, TransientError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.settings import AiSettings
from tasks.ai.breaker import Breakers
from tasks.ai.budgets import Budgets
from tasks.ai.limits import Limits
from tasks.ai.prices import Cost
from tasks.store import client
from tests.ai_samples import HealthyOrNot, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import redis

ROOT = Path(__file__).parents[2]
PROCESSES = 4
LIMIT_SECONDS = 60.0
READY = "test:ready"
AT_WORK, MOST_AT_WORK = "test:at_work", "test:most_at_work"
NOTE_MOST = """
local at_work = redis.call('INCR', KEYS[1])
if at_work > tonumber(redis.call('GET', KEYS[2]) or 0) then redis.call('SET', KEYS[2], at_work) end
"""


def compete(what: str, redis_url: str) -> list[Any]:
    """Start the processes, let them begin together, and return what each printed last."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.ai_competitors", what, redis_url, str(number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    found = [(process.communicate(timeout=LIMIT_SECONDS)[0], process.returncode) for process in running]
    assert [code for _, code in found] == [0] * PROCESSES
    return [json.loads(words.splitlines()[-1]) for words, _ in found]


def _spend(url: str, name: str) -> int:
    """Reserve a cent of a dollar again and again; return how often there was one."""
    budgets = Budgets(url, AiSettings(budget_day=1.0))
    cent, reserved = Cost(amount_usd=Decimal("0.01"), source="settings"), 0
    _begin_together(client(url))
    for _ in range(60):
        try:
            budgets.reserve(profile(), "model", cent, instance=ProcessInstanceId(f"instance-{name}"))
        except BusinessError:
            continue
        reserved += 1
    return reserved


def _try_whether_it_is_back(url: str, _: str) -> tuple[int, bool]:
    """Ask for an open breaker until it lets this process in; return how often its provider's health was checked."""
    breakers, provider = Breakers(url, rest=timedelta(seconds=30)), _SlowlyHealthy()
    pause = threading.Event()
    _begin_together(client(url))
    for _attempt in range(200):
        try:
            breakers.refuse_if_open(provider)
        except TransientError:
            pause.wait(0.05)
        else:
            return provider.checks, True
    return provider.checks, False


def _hold(url: str, name: str) -> int:
    """Take one of three places again and again, and note in Redis how many hold one; return how often there was one."""
    limits, store, asked = Limits(url), client(url), profile(at_once=3)
    note, pause, held = store.register_script(NOTE_MOST), threading.Event(), 0
    _begin_together(store)
    for number in range(20):
        try:
            admission = limits.admit(asked, step=ExternalTaskId(f"{name}-{number}"), tokens=1)
        except RateLimited:
            continue
        note(keys=[AT_WORK, MOST_AT_WORK])
        pause.wait(0.05)
        store.decr(AT_WORK)
        limits.leave(admission, used_tokens=1)
        held += 1
    return held


class _SlowlyHealthy(HealthyOrNot):
    def health(self) -> str:
        threading.Event().wait(0.3)
        return super().health()


def _begin_together(store: redis.Redis) -> None:
    pause = threading.Event()
    store.incr(READY)
    for _ in range(1000):
        if int(store.get(READY) or 0) >= PROCESSES:
            return
        pause.wait(0.02)
    raise TimeoutError("the others did not come")


TO_DO: Mapping[str, Callable[[str, str], object]] = {
    "spend": _spend,
    "trial": _try_whether_it_is_back,
    "hold": _hold,
}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(TO_DO[sys.argv[1]](sys.argv[2], sys.argv[3])))
