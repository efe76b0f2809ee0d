"""Decides what is done with a result after a try to report it: the table of errors and disposals.

`Callbacks` acts on it. What an unreachable engine leaves open is held, what can be reported another time is parked,
what nobody will ever be able to read goes to the dead letters. Only a decision that rests on an answer of the engine
ends a pause: that Redis is down, or a message is garbage, says nothing about the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from procos.domain.errors import (
    DispatchError,
    EngineError,
    EngineUnreachableError,
    NewerVersionError,
    ProcosError,
)


class Disposal(StrEnum):
    """What to do with a message after a try to report it."""

    ACKNOWLEDGE = "acknowledge"
    HOLD = "hold"
    PARK = "park"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with one message, why, and whether the engine has answered for it."""

    disposal: Disposal
    reason: str = ""
    engine_answered: bool = False


def decision_on(error: Exception) -> Decision:
    """Decide about a message that could not be reported."""
    match error:
        case EngineUnreachableError():
            return Decision(disposal=Disposal.HOLD, reason=str(error))
        case EngineError():
            return Decision(disposal=Disposal.PARK, reason=str(error), engine_answered=True)
        case NewerVersionError():  # a bridge of that version will read it
            return Decision(disposal=Disposal.PARK, reason=str(error))
        case DispatchError():
            return Decision(disposal=Disposal.DEAD_LETTER, reason=str(error))
        case ProcosError():
            return Decision(disposal=Disposal.PARK, reason=str(error))
        case _:  # a defect of ours, which a later version may not have
            return Decision(disposal=Disposal.PARK, reason=f"{type(error).__name__}: {error}")
