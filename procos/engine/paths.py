"""Paths below the REST root, built from ids that may come from anywhere.

An id in a callback is whatever somebody put on the queue. Each one stays one segment of the path, so that a forged id
never reaches another endpoint than the one the call is about.
"""

from __future__ import annotations

from urllib.parse import quote

from procos.domain.errors import EngineRejectedError

DOTS = {"", ".", ".."}
"""What HTTP libraries take for a folder, however it is quoted; no id of the engine looks so."""


def path(*segments: str) -> str:
    """Join segments to a path, each quoted whole.

    Raises:
        EngineRejectedError: a segment is one that no quoting keeps apart from the path around it.
    """
    if strange := DOTS.intersection(segments):
        raise EngineRejectedError(f"{min(strange)!r} is not an id")
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)
