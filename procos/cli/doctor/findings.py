"""What a check of `procos doctor` found, and which exit code all of it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Health(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    health: Health
    text: str
    cure: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 where a step can pass, 3 where something does not answer, else 1."""
    found = {finding.health for finding in findings}
    if Health.UNREACHABLE in found:
        return 3
    return 1 if Health.BAD in found else 0
