"""Every contender there is, by name."""

from __future__ import annotations

from tests.benchmarks.contenders.peers import JAVASCRIPT, OPERATON, PYTHON3
from tests.benchmarks.contenders.procos import (
    PROCOS,
    PROCOS_EVENTS,
    PROCOS_FLEET,
    PROCOS_LISTS,
    PROCOS_PROCESSES,
    PROCOS_WIDE,
    PROCOS_WIDE_LISTS,
)
from tests.benchmarks.contenders.raw import RAW

OURS = (PROCOS, PROCOS_LISTS, PROCOS_EVENTS, PROCOS_PROCESSES, PROCOS_FLEET, PROCOS_WIDE, PROCOS_WIDE_LISTS)
ALL = (RAW, *OURS, JAVASCRIPT, PYTHON3, OPERATON)
CONTENDERS = {contender.name: contender for contender in ALL}
