"""The guard: a process of its own that ends every part whose supervisor is gone.

The supervisor holds the writing end of this process's standard input, and so for a moment does each process it starts,
which announces itself: `+PID` begins a process group, `-PID` says that it has ended. End of file means that no
supervisor is left, however it died: each group that is still noted is asked to end, then killed. `nursery` starts
it by path, without the project on its path, so it imports the standard library alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GRACE_SECONDS = 10.0
TICK_SECONDS = 0.1


def main() -> None:
    """Note the groups until the supervisor is gone, then end what is left of them."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Whoever ends the supervisor by a signal to several processes must not end the guard before its work is done.
        signal.signal(number, signal.SIG_IGN)
    end_groups(noted_groups(sys.stdin))


def noted_groups(lines: Iterable[str]) -> list[int]:
    """Read the announcements to their end and return the groups that were begun and did not end, oldest first."""
    groups: dict[int, None] = {}
    for line in lines:
        sign, number = line[:1], line[1:].strip()
        if sign == "+" and number.isdigit():
            groups[int(number)] = None
        elif sign == "-" and number.isdigit():
            groups.pop(int(number), None)
    return list(groups)


def end_groups(groups: list[int], *, grace: float = GRACE_SECONDS) -> None:
    """Ask the leader of each group to end, the youngest first, and kill what is left of the groups after the grace."""
    for leader in reversed(groups):
        _signal(os.kill, leader, signal.SIGTERM)
    pause = threading.Event()
    ticks = int(grace / TICK_SECONDS)
    while ticks and any(not is_gone(leader) for leader in groups):
        pause.wait(TICK_SECONDS)
        ticks -= 1
    for leader in groups:
        _signal(os.killpg, leader, signal.SIGKILL)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has collected yet (a zombie) has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    return False


def _signal(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(pid, number)


if __name__ == "__main__":
    main()
