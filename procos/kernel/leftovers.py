"""Ends processes of a supervisor that is gone: the second net, for when its guard was killed with it.

A process counts as ours only when its id and the moment it was created are both those that were noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from procos.kernel.guard import end_groups

if TYPE_CHECKING:
    from procos.kernel.stack import StackState

SAME_MOMENT = 1.0
"""Seconds by which two readings of a creation time may differ, since the boot time they count from is corrected."""


def end_leftovers(state: StackState | None) -> list[str]:
    """End what is left of the stack in this state and return the names of its parts; no supervisor may be running."""
    found = [part for part in state.parts if lives(part.pid, part.created)] if state else []
    end_groups([part.pid for part in found if part.pid is not None])
    return [part.name for part in found]


def lives(pid: int | None, created: float | None) -> bool:
    """Whether the very process that was noted still runs."""
    if pid is None or created is None:
        return False
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < SAME_MOMENT
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
