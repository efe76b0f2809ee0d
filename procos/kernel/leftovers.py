"""Ends processes of a supervisor or kernel that is gone: the second net, for when its guard was killed with it.

A process counts as ours only when its id and the moment it was created are both those that were noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from procos.kernel.guard import end_groups
from procos.kernel.state import KERNEL, StackFolder

if TYPE_CHECKING:
    from procos.kernel.stack import StackState

SAME_MOMENT = 1.0
"""Seconds by which two readings of a creation time may differ, since the boot time they count from is corrected."""


def end_leftovers(state: StackState | None) -> list[str]:
    """End what is left of the stack in this state and return the names of its parts; no supervisor may be running."""
    found = [part for part in state.parts if lives(part.pid, part.created)] if state else []
    end_groups([part.pid for part in found if part.pid is not None])
    return [part.name for part in found]


def end_leftovers_in(folder: StackFolder) -> list[str]:
    """End what is left of the stack in this folder, the engine of its kernel included; no supervisor may be running."""
    kernel = StackFolder(folder.root, owner=KERNEL)
    engine = [] if kernel.is_running() else end_leftovers(kernel.state())
    return [*end_leftovers(folder.state()), *engine]


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
