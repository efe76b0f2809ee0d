"""The effects ledger: what the steps wrote, and what follows from it about a case.

Steps append a line when they begin and one when they have had their effect, each brought to the disk at once
(`chaos_tasks`). Counted from outside: an activity the model demands without an effect is lost, every further effect of
the same activity in the same instance is a duplicate.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

DEMANDED = ("chaos_work", "chaos_flaky", "chaos_think", "chaos_refuse", "chaos_mend", "chaos_note", "chaos_settle")
"""Each of these has exactly one effect per instance; the step the timer guards may end without."""

Place = tuple[str, str]
"""An instance's business key, and an activity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    word: str
    instance: str
    activity: str
    external_task_id: str
    celery_id: str
    pid: int
    at: float

    @property
    def place(self) -> Place:
        """Where it happened."""
        return (self.instance, self.activity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What the ledger of one case says."""

    effects: int
    """All of them, the needless ones included."""
    lost: Sequence[Place]
    duplicated: Mapping[Place, int]
    starts: Mapping[Place, int]

    @property
    def duplicates(self) -> int:
        """Effects beyond the first."""
        return sum(self.duplicated.values())


def read(file: Path) -> list[Entry]:
    """Read the ledger; a last line that is being written is left for later."""
    if not file.exists():
        return []
    return [Entry(**json.loads(line)) for line in file.read_bytes().split(b"\n")[:-1]]


def count(entries: Iterable[Entry], instances: Iterable[str], *, demanded: Sequence[str] = DEMANDED) -> Count:
    """Hold the ledger against what the model demands of these instances."""
    entries = list(entries)
    effects = Counter(entry.place for entry in entries if entry.word == "effect")
    wanted = [(instance, activity) for instance in instances for activity in demanded]
    return Count(
        effects=effects.total(),
        lost=[place for place in wanted if not effects[place]],
        duplicated={place: times - 1 for place, times in effects.items() if times > 1},
        starts=Counter(entry.place for entry in entries if entry.word == "start"),
    )


def under_way(entries: Iterable[Entry]) -> Counter[int]:
    """Count the steps that began and have not ended, by the process they run in."""
    begun: Counter[int] = Counter()
    for entry in entries:
        begun[entry.pid] += 1 if entry.word == "start" else -1
    return +begun


def told(entries: Iterable[Entry], place: Place) -> list[str]:
    """Tell what happened at one place, line by line."""
    return [
        f"{entry.at:.3f} {entry.word} pid {entry.pid} {entry.celery_id}" for entry in entries if entry.place == place
    ]
