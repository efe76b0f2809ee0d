"""When instances ended, for those who keep something as long as somebody may ask for it.

An instance that another one called has handed its variables up, so it counts as ended when the topmost of them has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.blobs.pruning import Ending
from procos.domain.variables import parse_date

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from procos.engine.transport import Transport

PAGE = 500
HISTORY, RUNNING = "/history/process-instance", "/process-instance"


def endings_of(transport: Transport, instance_ids: Collection[str]) -> Mapping[str, Ending]:
    """Tell when instances ended; those the engine knows nothing of are left out."""
    known = _rows(transport, HISTORY, instance_ids)
    roots = {root for row in known.values() if (root := _root(row)) not in known}
    known |= _rows(transport, HISTORY, roots)
    # Where no history is kept, those that run are known all the same.
    running = _rows(transport, RUNNING, {each for each in instance_ids if each not in known} | roots - known.keys())
    found = {}
    for instance_id in instance_ids:
        row = known.get(instance_id)
        root = instance_id if row is None else _root(row)
        if instance_id in running or root in running:
            found[instance_id] = Ending(at=None)
        elif root in known:
            end = known[root].get("endTime")
            found[instance_id] = Ending(at=None if end is None else parse_date("endTime", end))
    return found


def _root(row: Mapping[str, Any]) -> str:
    return str(row.get("rootProcessInstanceId") or row["id"])


def _rows(transport: Transport, where: str, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    wanted = sorted(ids)
    parts = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]
    return {str(row["id"]): row for part in parts for row in transport.post(where, {"processInstanceIds": part})}
