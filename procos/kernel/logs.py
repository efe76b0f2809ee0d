"""The log files of the parts: a fresh one for each start of the stack, the last one kept, none without bounds."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAIL_LINES = 15
TAIL_BYTES = 16_384
LARGEST = 32 * 1024 * 1024


def begin(log: Path) -> None:
    """Set the log of the last run aside and begin an empty one."""
    with suppress(FileNotFoundError):
        log.replace(_previous(log))
    log.touch(mode=0o600)


def bound(log: Path) -> None:
    """Set a log aside that has grown too large, while its part goes on writing to it."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LARGEST:
            shutil.copyfile(log, _previous(log))
            # The part holds the file open for appending, so it goes on at the new end.
            os.truncate(log, 0)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, or nothing when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _previous(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")
