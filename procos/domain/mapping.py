"""What a model says of a step's output and errors, in extension properties of the service task.

The properties come from the model alone, never from a variable, so nobody but the modeller writes an expression. They
travel with the dispatch; `tasks.mapping` applies them where the task has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.domain.variables import LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULT_VARIABLE = "resultVariable"
RESULT_EXPRESSION = "resultExpression"
ERROR_EXPRESSION = "errorExpression"
PROPERTIES = (RESULT_VARIABLE, RESULT_EXPRESSION, ERROR_EXPRESSION)
EXPRESSION_FAILED = "EXPRESSION_FAILED"
LONGEST_EXPRESSION = 10_000
LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputMapping:
    """What becomes of a step's result, and of its errors; None where the model says nothing."""

    result_variable: str | None = None
    result_expression: str | None = None
    error_expression: str | None = None

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> OutputMapping | None:
        """Pick the mapping out of a task's extension properties; None where there is none.

        Raises:
            ValueError: one of them is too long to travel; the message names it.
        """
        found = {name: properties[name] or "" for name in PROPERTIES if name in properties}
        for name, text in found.items():
            if fault := length_fault(text):
                raise ValueError(f"{name} {fault}")
        if not found:
            return None
        return cls(
            result_variable=found.get(RESULT_VARIABLE),
            result_expression=found.get(RESULT_EXPRESSION),
            error_expression=found.get(ERROR_EXPRESSION),
        )

    def to_properties(self) -> dict[str, str]:
        """Write the mapping as the properties it was read from."""
        texts = {
            RESULT_VARIABLE: self.result_variable,
            RESULT_EXPRESSION: self.result_expression,
            ERROR_EXPRESSION: self.error_expression,
        }
        return {name: text for name, text in texts.items() if text is not None}


def length_fault(text: str) -> str | None:
    """Say that a property is too long, if it is."""
    if len(text) > LONGEST_EXPRESSION:
        return f"has {len(text)} characters, at most {LONGEST_EXPRESSION} are read"
    return None


def name_fault(name: str) -> str | None:
    """Say what keeps a text from being the name of a variable that expressions of a model can read, if anything."""
    if name.isidentifier() and len(name) <= LONGEST_NAME:
        return None
    return f"is {name[:LONGEST_SHOWN]!r}, expected at most {LONGEST_NAME} letters, digits and _, no digit first"
