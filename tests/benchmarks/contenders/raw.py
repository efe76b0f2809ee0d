"""The raw client: one fetch loop and a pool that completes, in Go; what every ratio is against."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.benchmarks.contenders.contender import CLIENT, Contender, Place, Work
from tests.benchmarks.processes import Launch

if TYPE_CHECKING:
    from collections.abc import Sequence


def _launches(place: Place, work: Work) -> Sequence[Launch]:
    arguments = [str(place.tools.raw()), "work", "-rest", place.rest, "-topic", work.topic]
    arguments += ["-completers", str(work.slots), "-seconds", str(work.seconds)]
    arguments += ["-runs", str(work.runs)] if work.runs else []
    return [Launch(part=CLIENT, arguments=tuple(arguments), environment=dict(os.environ))]


RAW = Contender(
    name="raw",
    label="raw client (Go)",
    launches=_launches,
    prepare=lambda tools: tools.raw(),
)
