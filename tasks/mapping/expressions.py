"""Evaluates JSONata expressions, each within limits of time and memory, in processes that can be killed.

`procos.expressions` runs as a program beside the worker (`tasks.side_processes`), since Python cannot stop a regular
expression that backtracks. The properties of a model, and the topic `data_transformation`, are the callers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procos import expressions as program
from procos.domain.errors import TransientError
from procos.domain.mapping import EXPRESSION_FAILED, length_fault
from tasks.side_processes import MOST, NoPlaceError, SideProcesses

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(program.__file__)
LIMIT = timedelta(seconds=2)
"""How long an evaluation may take; known between its steps, with words that say so."""
GRACE = timedelta(seconds=3)
"""How much longer, the way of the data included, until the process is killed: a single step looks at no clock."""


class Fault(StrEnum):
    """What kind of thing went wrong with an expression."""

    UNREADABLE = "unreadable"
    """It does not parse: whatever it is given, it never will."""
    FAILED = "failed"
    """It does not fit what it was given."""
    NOT_ENDED = "not ended"
    """It took too long, or was not evaluated at all: another time it may be."""


class ExpressionError(TransientError):
    """Raised when an expression has no value; the words name it and what is wrong, without any data."""

    def __init__(self, name: str, fault: str, kind: Fault) -> None:
        self.kind = kind
        super().__init__(f"{name} {fault}", code=EXPRESSION_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an expression yields: a value, where None is null as well as nothing, or the call of a judging function."""

    value: object = None
    verdict: Mapping[str, Any] | None = None


class Evaluators(SideProcesses):
    """Processes that evaluate."""

    def __init__(self, *, limit: timedelta = LIMIT, grace: timedelta = GRACE, most: int = MOST) -> None:
        super().__init__(PROGRAM, within=limit + grace, most=most)
        self._limit, self._grace = limit, grace

    def evaluate(self, name: str, text: str, data: object, *, judges: bool = False) -> Evaluation:
        """Evaluate an expression over plain data; `name` is what the model calls it, `judges` lends it $bpmnError & co.

        Raises:
            ExpressionError: EXPRESSION_FAILED.
        """
        if fault := length_fault(text):
            raise ExpressionError(name, fault, Fault.UNREADABLE)
        asked = {"expression": text, "data": data, "judges": judges, "seconds": self._limit.total_seconds()}
        answer = json.loads(self._answer(name, json.dumps(asked).encode()))
        if "fault" in answer:
            raise ExpressionError(name, answer["fault"], Fault(answer["kind"]))
        return Evaluation(value=answer.get("value"), verdict=answer.get("verdict"))

    def _answer(self, name: str, request: bytes) -> bytes:
        try:
            return self.ask(request)
        except NoPlaceError as error:
            raise ExpressionError(name, f"was not evaluated: {error}", Fault.NOT_ENDED) from error
        except TimeoutError as error:
            limit = self._limit + self._grace
            text = f"did not end within {limit.total_seconds():g} s"
            raise ExpressionError(name, text, Fault.NOT_ENDED) from error
        except (OSError, EOFError) as error:
            text = "was not evaluated: the process for it has ended"
            raise ExpressionError(name, text, Fault.NOT_ENDED) from error


_SHARED = Evaluators()
_SHARED.share()


def evaluate(name: str, text: str, data: object, *, judges: bool = False) -> Evaluation:
    """Evaluate an expression by the processes of this worker; see `Evaluators.evaluate`."""
    return _SHARED.evaluate(name, text, data, judges=judges)


def failed(name: str, fault: str) -> ExpressionError:
    """Make the error of a property of the model that cannot be applied; the engine's retry rule counts for it."""
    return ExpressionError(name, fault, Fault.FAILED)
