"""How the parts of the system are: every check is asked at once, none for longer than a limit, and none can fail.

`part_checks` says what each part is asked; `initialization` and `health_monitoring` record what was found. A part that
does not answer is a finding, as is a check that breaks.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procos.domain.errors import ProcosError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[], str | None]
    """Returns why a part is of no use, or None; may raise a `ProcosError` that says so."""

LIMIT_SECONDS = 15.0
LONGEST_REASON = 300
"""Characters; the troubles of all parts together fit the engine's text column."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """What was found of one part; without a reason it is healthy."""

    part: str
    reason: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether it is of use."""
        return not self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """What was found of all parts."""

    parts: tuple[PartState, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether every part is of use."""
        return all(each.is_healthy for each in self.parts)

    @property
    def troubles(self) -> list[str]:
        """What is wrong, a line for each part."""
        return [f"{each.part}: {each.reason}" for each in self.parts if not each.is_healthy]

    def as_variable(self) -> dict[str, dict[str, Any]]:
        """Return it as a process keeps it: health and reason by part."""
        return {each.part: {"healthy": each.is_healthy, "reason": each.reason} for each in self.parts}


def state_of(checks: Mapping[str, Check], *, limit: float = LIMIT_SECONDS) -> SystemState:
    """Ask every check, side by side; what has not answered within `limit` seconds is unhealthy for that."""
    asked = {part: _asked(part, check) for part, check in checks.items()}
    deadline = time.monotonic() + limit
    return SystemState(parts=tuple(_answer(part, future, deadline, limit) for part, future in asked.items()))


def _asked(part: str, check: Check) -> Future[str]:
    future: Future[str] = Future()
    # A daemon, since a check that hangs must not keep its worker process from ending.
    threading.Thread(target=lambda: future.set_result(_reason(part, check)), name=f"check-{part}", daemon=True).start()
    return future


def _answer(part: str, future: Future[str], deadline: float, limit: float) -> PartState:
    try:
        reason = future.result(timeout=max(deadline - time.monotonic(), 0.0))
    except TimeoutError:
        reason = f"no answer within {limit:g} s"
    return PartState(part=part, reason=_cut(reason))


def _reason(part: str, check: Check) -> str:
    try:
        return check() or ""
    except ProcosError as error:
        return str(error)
    except Exception as error:
        # What a library raises beyond what we know must not hide how the other parts are.
        log.exception("part.check_failed", part=part)
        return f"cannot be asked: {type(error).__name__}"


def _cut(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"
