"""Tells people how the boot goes: a line per phase, and between them what is waited for; on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.kernel.boot.phases import BootPhase
from procos.kernel.terminal import LineConsole

if TYPE_CHECKING:
    from procos.kernel.boot.phases import PhaseDone

PURPOSE_WIDTH = max(len(phase.purpose) for phase in BootPhase)


class Announcer:
    """Prints what it is told, each thing that is waited for once."""

    def __init__(self) -> None:
        self._console = LineConsole(stderr=True, highlight=False)
        self._awaited = ""

    def over(self, done: PhaseDone) -> None:
        """Print the line of a phase."""
        word, style = ("failed", "red") if done.has_failed else ("done", "green")
        self._line(done.phase, (f"{word:6} ", style), f"{done.seconds:5.1f} s  {done.outcome}")

    def waits(self, phase: BootPhase, trouble: str) -> None:
        """Print what a phase waits for, unless that was the last thing said."""
        if trouble != self._awaited:
            self._awaited = trouble
            self._line(phase, ("waits  ", "yellow"), trouble)

    def watches(self, text: str) -> None:
        """Print that everything is up, and what is being watched."""
        self._line(BootPhase.MONITORING, ("begun  ", "green"), text)

    def happened(self, text: str, details: str = "") -> None:
        """Print something that happened later, with the end of a log where there is one."""
        self._console.say("kernel: ", text)
        if details:
            self._console.say(details)

    def _line(self, phase: BootPhase, *parts: str | tuple[str, str]) -> None:
        place = f"kernel {phase.number}/{len(BootPhase)}  "
        self._console.say(place, f"{phase.purpose:{PURPOSE_WIDTH}}  ", *parts)
