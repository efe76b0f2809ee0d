"""Which blobs nobody will ask for any more: those of instances that ended long ago, by what the engine says of them.

What the engine does not know is kept: its history may be shorter than the store's, or the store may be another's too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from procos.blobs.holdings import Holding


class Fate(StrEnum):
    """Why blobs may go."""

    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the engine knows of an instance: when it and all that called it had ended, None where one still runs."""

    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """Blobs that may go, why, and since when: the instance's end, or the writing of the youngest of them."""

    holding: Holding
    fate: Fate
    since: datetime


def doomed(
    holdings: Iterable[Holding], endings: Mapping[str, Ending], *, before: datetime, unknown: bool = False
) -> Sequence[Doomed]:
    """Choose what may go: of instances that ended before a moment; with `unknown` also what was written before it."""
    found = []
    for holding in holdings:
        ending = endings.get(holding.process_instance_id)
        fate = Fate.UNKNOWN if ending is None else Fate.ENDED
        since = holding.youngest if ending is None else ending.at
        if since is not None and since < before and (unknown or ending is not None):
            found.append(Doomed(holding=holding, fate=fate, since=since))
    return found
