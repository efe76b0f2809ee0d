"""A stage of a scenario: what was looked at, whether it was as it should be, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool
    words: str

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"what": self.what, "good": self.is_good, "words": self.words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage that is over; `seconds` is how long it took."""

    title: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether all of it was as it should be."""
        return all(finding.is_good for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """Return it as plain values."""
        findings = [finding.to_json() for finding in self.findings]
        return {"title": self.title, "good": self.is_good, "seconds": round(self.seconds, 3), "findings": findings}


def good(what: str, words: str) -> Finding:
    """Find something as it should be."""
    return Finding(what=what, is_good=True, words=words)


def bad(what: str, words: str) -> Finding:
    """Find something as it should not be."""
    return Finding(what=what, is_good=False, words=words)


def timed(title: str, look: Callable[[], Iterable[Finding]]) -> Stage:
    """Go through a stage."""
    began = time.monotonic()
    findings = tuple(look())
    return Stage(title=title, findings=findings, seconds=time.monotonic() - began)
