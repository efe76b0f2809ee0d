"""Runs a Python program and writes, twice a second, on which code its CPU time was spent.

    python profiled.py FOLDER PART -m procos bridge

A thread looks at all others every few milliseconds. What each has used since then, by its own CPU clock, is noted for
the place where it is: the module of ours that is at work, and the library it has called. Waiting costs nothing and is
not seen. A process that is forked is looked at too, and has a file of its own.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERVAL, WRITE_INTERVAL = 0.005, 0.5
ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = "site-packages/"
NOWHERE = "elsewhere"


def main() -> None:
    """Run the program that the command line names."""
    folder, part, _, module = sys.argv[1:5]
    sys.argv = [module, *sys.argv[5:]]
    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    watch(Path(folder), part)
    os.register_at_fork(after_in_child=lambda: watch(Path(folder), part))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def watch(folder: Path, part: str) -> None:
    """Begin to look at this process."""
    file = folder / f"{part}-{os.getpid()}.json"
    threading.Thread(target=_look, args=(file,), name="profile", daemon=True).start()


def _look(file: Path) -> None:
    spent: dict[str, float] = defaultdict(float)
    known: dict[int, float] = {}
    written = 0.0
    pause, own = threading.Event(), threading.get_ident()
    while not pause.wait(INTERVAL):
        for thread, frame in sys._current_frames().items():
            used = time.clock_gettime(time.pthread_getcpuclockid(thread))
            # A thread may have the id of one that ended: its clock begins anew.
            since = used - known.get(thread, 0.0) if used >= known.get(thread, 0.0) else used
            known[thread] = used
            if since > 0.0 and thread != own:
                spent[place_of(frame)] += since
        if time.monotonic() - written > WRITE_INTERVAL:
            written = time.monotonic()
            _write(file, spent)


def place_of(frame: FrameType | None) -> str:
    """Name the innermost module of ours in a stack, and the innermost library above it."""
    library = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if LIBRARIES in path:
            library = library or path.rpartition(LIBRARIES)[2].partition("/")[0].removesuffix(".py")
        elif path.startswith(str(ROOT)) and path != __file__:
            ours = Path(path).relative_to(ROOT).with_suffix("").as_posix()
            return f"{ours} in {library}" if library else ours
        frame = frame.f_back
    return library or NOWHERE


def _write(file: Path, spent: dict[str, float]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(spent), "utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    main()
