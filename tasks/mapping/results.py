"""What becomes of a task's result: its variables as they are, all as one, or what an expression makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procos.domain import variables as rules
from procos.domain.mapping import RESULT_EXPRESSION, RESULT_VARIABLE, name_fault
from tasks.large_values import largest_result
from tasks.mapping.expressions import evaluate, failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.mapping import OutputMapping
    from procos.settings import Settings

KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def mapped_result(mapping: OutputMapping, result: Mapping[str, object], settings: Settings) -> Mapping[str, object]:
    """Return the variables a step sets; where both properties are set, both count.

    Raises:
        TransientError: EXPRESSION_FAILED, a property cannot be applied.
        VariableError: a value cannot be stored.
    """
    if mapping.result_variable is None and mapping.result_expression is None:
        return result
    whole = {name: rules.plain(name, value) for name, value in result.items()}
    mapped: dict[str, object] = {}
    if mapping.result_variable is not None:
        if fault := name_fault(mapping.result_variable):
            raise failed(RESULT_VARIABLE, fault)
        mapped[mapping.result_variable] = whole
    if mapping.result_expression is not None:
        mapped |= _members(mapping.result_expression, whole)
    limit = largest_result(settings)
    rules.check(mapped, largest=limit.bytes, cure=limit.cure, travels=limit.travels)
    return mapped


def kind_of(value: object) -> str:
    """Say what a value is, without it."""
    return KINDS.get(type(value), "nothing")


def _members(expression: str, whole: Mapping[str, object]) -> Mapping[str, object]:
    value = evaluate(RESULT_EXPRESSION, expression, whole).value
    if not isinstance(value, dict):
        raise failed(RESULT_EXPRESSION, f"yields {kind_of(value)}, expected an object whose members become variables")
    return cast("Mapping[str, object]", value)
