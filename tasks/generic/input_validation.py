"""Topic `input_validation`: checks the variables of a process, or one of them, against a JSON Schema (2020-12).

The model carries the schema as the input parameter `schema` of the step, as JSON text or a `Json` value: it is then
deployed and versioned with the model. Or it names one, and its version, of the folder PROCOS_SCHEMA_DIRECTORY. What is
checked is `data`; without it the step's own variables, an object with one member for each variable visible to it (the
inputs of the step apart): `required` names what must be there, `properties` says what each looks like. A variable that
is null counts as absent; a date is its ISO text. Beyond the schema, no text may contain U+0000 or half a surrogate
pair, which databases and providers refuse.

Everything wrong is reported at once, as BPMN error VALIDATION_FAILED or, with `on_invalid` = `report`, as variables
(where a text cannot be stored, only such texts are). Running it twice is harmless: it only looks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from procos.domain.errors import BusinessError
from procos.logs import get_logger
from tasks.generic.json_schema import check_length, message_of, problems
from tasks.generic.json_values import jsonable, parsed, text_of_json
from tasks.generic.schema_library import named_schema
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.generic.json_schema import Problem

log = get_logger(__name__)


@lru_cache(maxsize=256)
def _parsed_once(schema: str) -> Any:
    return parsed(schema)


def _parsed(schema: object) -> object:
    if not isinstance(schema, str):
        return schema
    check_length(schema)  # before it is read, and kept
    return _parsed_once(schema)


class InputValidationInput(BaseModel):
    """The schema, what it is about, and, as extra fields, the variables of the step."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    json_schema: Annotated[dict[str, Any], BeforeValidator(_parsed)] | None = Field(
        None, alias="schema", description="The JSON Schema; or name one by schema_name"
    )
    schema_name: str | None = Field(None, description="A schema of PROCOS_SCHEMA_DIRECTORY")
    schema_version: str | None = Field(None, description="Its version")
    data: Any = Field(None, description="What is checked; without it, the variables of the step")
    data_format: Literal["value", "json"] = Field("value", description="json: data is a text of JSON")
    on_invalid: Literal["error", "report"] = Field("error", description="error throws VALIDATION_FAILED")

    @model_validator(mode="after")
    def _names_one_schema(self) -> Self:
        if (self.json_schema is None) is (self.schema_name is None):
            raise ValueError("expected either schema or schema_name")
        if self.schema_version is not None and self.schema_name is None:
            raise ValueError("schema_version goes with schema_name")
        return self


class ValidationProblem(BaseModel):
    """One problem, for programs: pages that mark the field, expressions that look for a rule."""

    path: str
    keyword: str
    schema_path: str
    message: str


class InputValidationOutput(BaseModel):
    """What a process may look at later; where something is wrong the same travels with the BPMN error."""

    valid: bool
    validation_errors: list[str]
    errors: list[ValidationProblem]


@process_task(topic="input_validation")
def input_validation(step: InputValidationInput, context: TaskContext) -> InputValidationOutput:
    """Check what a step is about.

    Raises:
        BusinessError: VALIDATION_FAILED, with every problem and the variable it is about; INVALID_INPUT.
        PermanentError: the schema itself is wrong, refers to another document, or is not there.
        TransientError: VALIDATION_NOT_ENDED, the schema is too costly for the document.
    """
    found = problems(_schema(step, context), _document(step))
    verdict = InputValidationOutput(
        valid=not found, validation_errors=[str(problem) for problem in found], errors=[_shown(each) for each in found]
    )
    if not found:
        return verdict
    log.info("input.refused", problems=len(found), keywords=sorted({problem.keyword for problem in found}))
    if step.on_invalid == "report":
        return verdict
    raise BusinessError("VALIDATION_FAILED", message_of(found), variables=verdict.model_dump())


def _schema(step: InputValidationInput, context: TaskContext) -> dict[str, Any]:
    if step.json_schema is not None:
        return step.json_schema
    return named_schema(step.schema_name or "", step.schema_version, context.settings.schema_directory)


def _document(step: InputValidationInput) -> Any:
    if step.data is None:
        return document_of(step.model_extra or {})
    if step.data_format == "value":
        return jsonable("data", step.data)
    return text_of_json("data", step.data)


def document_of(variables: Mapping[str, object]) -> Any:
    """Return variables as JSON Schema sees them; one that is null counts as absent.

    Raises:
        BusinessError: INVALID_INPUT, one of them cannot be written as JSON.
    """
    return jsonable("input", {name: value for name, value in variables.items() if value is not None})


def _shown(problem: Problem) -> ValidationProblem:
    return ValidationProblem(
        path=problem.path, keyword=problem.keyword, schema_path=problem.schema_path, message=problem.reason
    )
