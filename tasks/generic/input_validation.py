"""Topic `input_validation`: checks the variables of a process against a JSON Schema the model carries.

The model gives the schema as the input parameter `schema` of the step, as JSON text or a `Json` value: it is then
deployed and versioned with the model. The document that is checked is the step's own variables, an object with one
member for each variable visible to it (`schema` itself apart): `required` names what must be there, `properties` says
what each looks like. A variable that is null counts as absent; a date is its ISO text. Beyond the schema, no text may
contain U+0000 or half a surrogate pair, which databases and providers refuse.

Everything wrong is reported at once, as BPMN error VALIDATION_FAILED (where a text cannot be stored, only such texts
are). Running it twice is harmless: it only looks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import to_jsonable_python

from procos.domain.errors import BusinessError
from procos.logs import get_logger
from tasks.generic.json_schema import message_of, problems
from tasks.task import process_task

if TYPE_CHECKING:
    from collections.abc import Mapping

log = get_logger(__name__)


def _parsed(schema: object) -> object:
    return json.loads(schema) if isinstance(schema, str) else schema


class InputValidationInput(BaseModel):
    """The schema, and, as extra fields, the variables it is about."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    json_schema: Annotated[dict[str, Any], BeforeValidator(_parsed)] = Field(alias="schema")


class InputValidationOutput(BaseModel):
    """What a process may look at later; where something is wrong the same travels with the BPMN error."""

    valid: bool
    validation_errors: list[str]


@process_task(topic="input_validation")
def input_validation(step: InputValidationInput) -> InputValidationOutput:
    """Check the variables of a step.

    Raises:
        BusinessError: VALIDATION_FAILED, with every problem and the variable it is about.
        PermanentError: the schema itself is wrong, or refers to another document.
    """
    found = problems(step.json_schema, document_of(step.model_extra or {}))
    if not found:
        return InputValidationOutput(valid=True, validation_errors=[])
    log.info("input.refused", variables=sorted({problem.place for problem in found}))
    verdict = InputValidationOutput(valid=False, validation_errors=[str(problem) for problem in found])
    raise BusinessError("VALIDATION_FAILED", message_of(found), variables=verdict.model_dump())


def document_of(variables: Mapping[str, object]) -> dict[str, Any]:
    """Return variables as JSON Schema sees them; one that is null counts as absent."""
    given = {name: value for name, value in variables.items() if value is not None}
    document: dict[str, Any] = to_jsonable_python(given)
    return document
