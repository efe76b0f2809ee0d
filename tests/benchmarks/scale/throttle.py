"""Limits a process to a part of a core: by the kernel's own accounts where they may be written, else by hand.

By hand means that the process is stopped and let go again, a hundred times a second.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD_MICROSECONDS = 20_000
"""A fifth of what is usual, so that a process that has used its part is not away for long."""
CYCLE_SECONDS = 0.01
BY_KERNEL, BY_HAND = "cgroup quota", "stopped and let go every 10 ms"


@contextmanager
def throttled(pid: int, part: float) -> Iterator[str]:
    """Limit a process, all its threads included, for the length of the block; yields how."""
    if (group := _group(pid, part)) is None:
        with _by_hand(pid, part):
            yield BY_HAND
        return
    try:
        yield BY_KERNEL
    finally:
        with suppress(OSError):
            (GROUPS / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()


def _group(pid: int, part: float) -> Path | None:
    group = GROUPS / f"procos-bench-{os.getpid()}-{pid}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD_MICROSECONDS * part)))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:  # another version of the accounts, or not ours to write
        with suppress(OSError):
            group.rmdir()
        return None
    return group


@contextmanager
def _by_hand(pid: int, part: float) -> Iterator[None]:
    done = threading.Event()

    def alternate() -> None:
        with suppress(ProcessLookupError):
            while not done.wait(CYCLE_SECONDS * part):
                os.kill(pid, signal.SIGSTOP)
                done.wait(CYCLE_SECONDS * (1 - part))
                os.kill(pid, signal.SIGCONT)

    hand = threading.Thread(target=alternate, name=f"throttle-{pid}", daemon=True)
    hand.start()
    try:
        yield
    finally:
        done.set()
        hand.join(1.0)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
