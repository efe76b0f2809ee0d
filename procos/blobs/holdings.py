"""What lies in a store, by process instance: read from its list of files, where only ours are looked at."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from procos.blobs.reference import FOLDER, HASH, instance_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PART = ".part"
"""How the name of a blob ends that is not whole yet."""
OURS = re.compile(rf"(?:^|/)({FOLDER})/({HASH}|[0-9a-f]{{32}}{re.escape(PART)})\Z", re.ASCII)
MOMENTS = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
"""How drivers call the moment a file was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The blobs of one process instance: how many, their bytes together, and when the youngest was written."""

    process_instance_id: str
    blobs: int
    size: int
    youngest: datetime | None


def holdings_in(listed: Mapping[str, Any]) -> Sequence[Holding]:
    """Gather a list of files, as fsspec gives it, by process instance; the largest first."""
    found: dict[str, list[Any]] = defaultdict(list)
    for path, facts in listed.items():
        if (ours := OURS.search(path)) is not None:
            found[ours[1]].append(facts)
    holdings = [_holding(instance_of(folder), files) for folder, files in found.items()]
    return sorted(holdings, key=lambda each: (-each.size, each.process_instance_id))


def is_ours(path: str) -> bool:
    """Whether a file is a blob, or what a broken write has left of one."""
    return OURS.search(path) is not None


def _holding(instance_id: str, files: Sequence[Mapping[str, Any]]) -> Holding:
    moments = [moment for each in files if (moment := _moment(each)) is not None]
    return Holding(
        process_instance_id=instance_id,
        blobs=len(files),
        size=sum(int(each.get("size") or 0) for each in files),
        youngest=max(moments) if len(moments) == len(files) else None,
    )


def _moment(facts: Mapping[str, Any]) -> datetime | None:
    value = next((facts[name] for name in MOMENTS if facts.get(name) is not None), None)
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        return None if value is None else datetime.fromtimestamp(float(value), tz=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
