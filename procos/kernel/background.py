"""Runs the supervisor without a terminal, and follows one that runs elsewhere by the state it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

from procos.domain.errors import PartFailedError
from procos.kernel import logs
from procos.kernel.leftovers import end_leftovers_in, lives
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.stack import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.kernel.stack import StackState
    from procos.kernel.state import StackFolder
    from procos.kernel.supervisor import Observer
    from procos.settings import Settings

SUPERVISOR = "supervisor"
TICK = 0.1
START_LIMIT = timedelta(minutes=45)
"""Longer than the first build of the engine and the start of every part after it."""
STOP_MARGIN = timedelta(seconds=60)
"""What services and stragglers may take beyond the time that tasks and reports under way are given."""
KILL_LIMIT = timedelta(seconds=15)
SETTLED = frozenset({Phase.READY, Phase.FAILED, Phase.STOPPED})


def start_in_background(folder: StackFolder, only: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own, which no closed terminal reaches."""
    log = folder.log(SUPERVISOR)
    logs.begin(log)
    chosen = [word for name in only for word in ("--only", name)]
    with log.open("ab") as words:
        return subprocess.Popen(  # noqa: S603  # ourselves
            [*python("procos", "up"), *chosen],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env=own_environment({}),
            start_new_session=True,
        )


def follow(folder: StackFolder, *, observer: Observer, process: subprocess.Popen[bytes] | None = None) -> StackState:
    """Show how a stack comes up until it is ready or will not be.

    `process` is the supervisor we started; when another one was quicker, that one is followed.

    Raises:
        PartFailedError: the supervisor is gone and has not said why.
    """
    deadline = time.monotonic() + START_LIMIT.total_seconds()
    while time.monotonic() < deadline:
        # Asked first: what a supervisor wrote before its end is then seen in this very round.
        is_over = (process is None or process.poll() is not None) and not folder.is_running()
        state = _state_of(folder, process)
        if state is not None:
            observer.show(state)
            if state.phase in SETTLED:
                return state
        if is_over:
            break
        Event().wait(TICK)
    raise PartFailedError(SUPERVISOR, "ended before the stack was up", log_tail=logs.tail(folder.log(SUPERVISOR)))


def stop(folder: StackFolder, *, settings: Settings, observer: Observer) -> bool:
    """Stop the supervisor and with it every part, and clear away what an earlier one left; False when nothing ran."""
    was_running = folder.is_running()
    if was_running:
        _send(folder, signal.SIGTERM)
        drain = timedelta(seconds=max(settings.worker.soft_shutdown, settings.bridge.drain_timeout))
        farewell = timedelta(seconds=settings.kernel.farewell_limit if settings.kernel.farewell else 0)
        if not _await_end(folder, farewell + drain + STOP_MARGIN, observer):
            _send(folder, signal.SIGKILL)
            _await_end(folder, KILL_LIMIT, observer)
    return bool(end_leftovers_in(folder)) or was_running


def _state_of(folder: StackFolder, process: subprocess.Popen[bytes] | None) -> StackState | None:
    """Read the state, unless it is that of an earlier stack."""
    state = folder.state()
    if state is None:
        return None
    is_ours = process is not None and state.pid == process.pid
    return state if is_ours or lives(state.pid, state.created) else None


def _await_end(folder: StackFolder, limit: timedelta, observer: Observer) -> bool:
    """Wait until the supervisor has let go of the folder, and its process is gone."""
    deadline = time.monotonic() + limit.total_seconds()
    while is_running := folder.is_running() or _lives(folder):
        if time.monotonic() > deadline:
            break
        _show(folder, observer)
        Event().wait(TICK)
    _show(folder, observer)
    return not is_running


def _lives(folder: StackFolder) -> bool:
    state = folder.state()
    return state is not None and lives(state.pid, state.created)


def _show(folder: StackFolder, observer: Observer) -> None:
    if (state := folder.state()) is not None:
        observer.show(state)


def _send(folder: StackFolder, number: signal.Signals) -> None:
    pid = folder.owner_pid()
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
