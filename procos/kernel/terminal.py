"""Shows people how a stack comes up and goes down: a line per part, in colour on a terminal, plain elsewhere.

What happens goes to stderr as it happens; `procos.kernel.tables` prints what was asked for. A terminal that is gone is
no reason to fail: whoever closed it does not read on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.text import Text

from procos.kernel.stack import Phase, Status

if TYPE_CHECKING:
    from procos.kernel.stack import PartState, StackState

COLOURS = {
    Status.HEALTHY: "green",
    Status.UNHEALTHY: "yellow",
    Status.RESTARTING: "yellow",
    Status.FAILED: "red",
    Status.STOPPED: "dim",
}
NAME_WIDTH = 15
STATUS_WIDTH = 11
PENDING = frozenset({Status.WAITING, Status.STARTING, Status.BUILDING})
SILENT = frozenset({Status.WAITING, Status.STARTING})


class LineConsole(Console):
    """A console that goes silent when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Say nothing from now on."""
        self.quiet = True

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print one line, made of texts and of texts with their style."""
        try:
            self.print(Text.assemble(*parts), soft_wrap=True)
        except OSError:
            self.quiet = True


class Progress:
    """Shows what is new in each state it is given; the spinner is for terminals alone."""

    def __init__(self, known: StackState | None = None) -> None:
        self._console = LineConsole(stderr=True, highlight=False)
        self._spinner = self._console.status("")
        self._statuses = {part.name: part.status for part in known.parts} if known else {}
        self._warnings = set(known.warnings) if known else set()
        self._began = time.time()
        self._phase = known.phase if known else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spinner.stop()

    def show(self, state: StackState) -> None:
        """Print a line for each part that came up, failed, died or stopped since the last time."""
        for warning in state.warnings:
            if warning not in self._warnings:
                self._console.say(("warning: ", "yellow"), warning)
        self._warnings.update(state.warnings)
        self._phase = state.phase
        for part in state.parts:
            before = self._statuses.get(part.name, Status.WAITING)
            if before is not part.status and part.status not in SILENT:
                self._show_part(part, before)
            self._statuses[part.name] = part.status
        self._spin(state)

    def _show_part(self, part: PartState, before: Status) -> None:
        words = [part.address, part.reason]
        if part.status is Status.HEALTHY and before in PENDING:
            words.append("elsewhere" if part.is_external else f"{part.since - self._began:.1f} s")
        if part.status is Status.BUILDING:
            words.append("is built first, which takes some minutes once")
        self._console.say(
            f"{part.name:{NAME_WIDTH}} ",
            (f"{part.status:{STATUS_WIDTH}} ", COLOURS.get(part.status, "")),
            "  ".join(filter(None, words)),
        )

    def _spin(self, state: StackState) -> None:
        pending = [part.name for part in state.parts if part.status in PENDING]
        if self._console.is_terminal and state.phase is Phase.STARTING and pending:
            self._spinner.update(f"starting {', '.join(pending)}")
            self._spinner.start()
        else:
            self._spinner.stop()
