"""What a run has done, or has begun, that must not be done twice; and the outcome of a step that has.

A retry is a new dispatch, which knows nothing of this run. So where such a deed was done, or nobody knows whether it
was, no later fault may lead to one: neither a time limit in the midst of it, nor a defect of an adapter, nor a result
that could not be carried afterwards.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from procos.domain.errors import ProcosError
from procos.domain.outcome import Failure, Postponement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.domain.outcome import Outcome

OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
CURE = "look, then `procos retry` to do it, or complete the step"


@dataclass(slots=True)
class Deeds:
    """The deeds of one run, each named for people."""

    done: list[str] = field(default_factory=list)
    under_way: str = ""
    """One that was begun, and of which nobody has said how it ended."""

    @contextmanager
    def doing(self, deed: str) -> Iterator[None]:
        """Do one; an error of ours says how it ended, and any other leaves that open."""
        self.under_way = deed
        try:
            yield
        except ProcosError:
            self.under_way = ""
            raise
        self.under_way = ""
        self.done.append(deed)


def not_done_again(outcome: Outcome, deeds: Deeds) -> Outcome:
    """Return the outcome; one that would have the step tried again is an incident where it has done such a deed."""
    if not (deeds.done or deeds.under_way):
        return outcome
    match outcome:
        case Failure(permanent=False):
            return _incident(outcome, deeds)
        case Postponement():
            return _incident(Failure(message=outcome.reason), deeds)
    return outcome


def _incident(failure: Failure, deeds: Deeds) -> Failure:
    if deeds.under_way:
        text = f"{deeds.under_way} was cut off, and may have been done ({failure.message}); {CURE}"
        return replace(failure, message=text, code=OUTCOME_UNKNOWN, permanent=True)
    text = f"{failure.message}; not tried again, since it has done {', '.join(deeds.done)}; {CURE}"
    return replace(failure, message=text, permanent=True)
