"""At what rate processes that compete for a provider are let through: the programs, and what their moments amount to.

`moments_let_in` starts the processes and returns when each request was let in; `busiest` finds the fullest stretch of
time. The contract tests use both for seconds, the benchmark for the five minutes that a limit is promised for.
Run as a module it is one of the processes.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from procos.domain.errors import RateLimited
from procos.domain.external_task import ExternalTaskId
from tasks.ai.limits import Limits
from tests.ai_samples import profile

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]
LEEWAY_SECONDS = 60.0
MOST_POSTPONED = 50
PAUSE_SECONDS = 0.02


def moments_let_in(
    redis_url: str,
    *,
    requests_per_minute: int,
    seconds: float,
    processes: int = 4,
    threads: int = 8,
    lateness: float = 0.0,
) -> list[float]:
    """Return the moments, as seconds of this host's clock and in order, at which requests were let in.

    Every thread of every process takes one step after the other. A step that is postponed comes back at its moment, or
    up to `lateness` seconds after it, while others go on, as they do in ProcOS.
    """
    order = json.dumps([redis_url, requests_per_minute, seconds, threads, lateness])
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.ai.rate", order, str(number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    found: list[float] = []
    for process in running:
        words, _ = process.communicate(timeout=seconds + LEEWAY_SECONDS)
        if process.returncode != 0:
            raise RuntimeError(f"a process that was to ask ended with {process.returncode}")
        found += json.loads(words.splitlines()[-1])
    return sorted(found)


def busiest(moments: Sequence[float], window: float) -> int:
    """Return how many of the moments, which are in order, lie in the fullest `window` seconds, its end not counted."""
    most, within = 0, deque[float]()
    for moment in moments:
        within.append(moment)
        while moment - within[0] >= window:
            within.popleft()
        most = max(most, len(within))
    return most


class _Steps:
    """The steps of one process: those that were postponed until now, and new ones unless many are postponed."""

    def __init__(self, name: str, lateness: float) -> None:
        self._name, self._lateness, self._count = name, lateness, 0
        self._chance = random.Random(name)  # noqa: S311  # the same for each run
        self._lock = threading.Lock()
        self._postponed: list[tuple[float, ExternalTaskId]] = []

    def take(self) -> ExternalTaskId | None:
        with self._lock:
            self._postponed.sort()
            if self._postponed and self._postponed[0][0] <= time.monotonic():
                return self._postponed.pop(0)[1]
            if len(self._postponed) >= MOST_POSTPONED:
                return None
            self._count += 1
            return ExternalTaskId(f"{self._name}-{self._count}")

    def postpone(self, step: ExternalTaskId, seconds: float) -> None:
        with self._lock:
            late = self._chance.uniform(0, self._lateness)
            self._postponed.append((time.monotonic() + seconds + late, step))


def _ask(limits: Limits, per_minute: int, steps: _Steps, until: float, moments: list[float]) -> None:
    asked, pause = profile(requests_per_minute=per_minute), threading.Event()
    while time.monotonic() < until:
        step = steps.take()
        if step is None:
            pause.wait(PAUSE_SECONDS)
            continue
        try:
            admission = limits.admit(asked, step=step, tokens=1)
        except RateLimited as later:
            steps.postpone(step, later.retry_in.total_seconds())
            continue
        moments.append(time.time())
        limits.leave(admission, used_tokens=1)


def _main(order: str, name: str) -> None:
    url, per_minute, seconds, threads, lateness = json.loads(order)
    limits, steps, moments = Limits(url), _Steps(name, lateness), list[float]()
    until = time.monotonic() + seconds
    askers = [threading.Thread(target=_ask, args=(limits, per_minute, steps, until, moments)) for _ in range(threads)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    sys.stdout.write(json.dumps(moments))


if __name__ == "__main__":
    _main(*sys.argv[1:])
