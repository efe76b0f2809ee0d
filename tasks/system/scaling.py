"""The rule that says whether a queue wants more workers; arithmetic only.

Demand is what waits in the queue and what is being run, against the slots of its workers. A bridge has no more in a
queue than about twice its slots, so demand shows that there is too little of them, and not how much waits in the
engine: add workers until the advice is `enough`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What to do about the workers of a queue."""

    ADD = "add"
    ENOUGH = "enough"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The verdict on one queue, the numbers behind it, and the reason in words."""

    queue: str
    advice: Verdict
    ready: int
    running: int
    slots: int
    reason: str

    def as_variable(self) -> dict[str, Any]:
        """Return it as a process keeps it."""
        return {**asdict(self), "advice": self.advice.value}


def advice_for(queue: str, *, ready: int, running: int, slots: int) -> Advice:
    """Return what to do about the workers of a queue."""
    verdict, reason = _judged(ready, running, slots)
    return Advice(queue=queue, advice=verdict, ready=ready, running=running, slots=slots, reason=reason)


def _judged(ready: int, running: int, slots: int) -> tuple[Verdict, str]:
    if not slots:
        return Verdict.ADD, f"no worker takes from it, {ready} wait"
    if ready >= slots:
        return Verdict.ADD, f"{ready} wait for {slots} slots: each has another one waiting, or more"
    if not ready and not running:
        return Verdict.IDLE, f"nothing waits, and nothing runs in its {slots} slots"
    return Verdict.ENOUGH, f"{running} run and {ready} wait, for {slots} slots"
