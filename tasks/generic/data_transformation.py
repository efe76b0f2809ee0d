"""Topic `data_transformation`: makes one value of another, by a JSONata expression or a Jinja template.

What is transformed is `data`; without it the step's own variables, as one object. A JSONata `expression` may yield any
JSON; a Jinja `template` writes a text. Both belong to the model, as constants: what a process variable holds is data.
Where a model takes them from a variable all the same (`procos deploy` remarks on it), whoever writes that variable can
compute with the data of this step, within the limits, and do nothing else: neither language reaches a file, the
network, a setting, or a secret.

Running it twice is harmless: the same variables give the same result, and nothing outside is touched.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from procos.domain.errors import BusinessError, PermanentError, TransientError
from procos.domain.mapping import EXPRESSION_FAILED
from tasks.generic.json_values import looked_through, plain, text_of_json
from tasks.mapping.expressions import ExpressionError, Fault, evaluate
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPRESSION_INVALID = "EXPRESSION_INVALID"
EXPRESSION_NOT_ENDED = "EXPRESSION_NOT_ENDED"
LONGEST_TEMPLATE = 10_000
"""Characters, as many as an expression may have."""
LONGEST_FILLING = timedelta(seconds=2)
MOST_CHARACTERS = 4 * 1024 * 1024
"""Of all texts and names in the data of one step: what the evaluation beside the worker can hold several times over."""


class DataTransformationInput(BaseModel):
    """What is transformed and how; as extra fields, the variables of the step."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    data: Any = Field(None, description="What is transformed; without it, the variables of the step")
    data_format: Literal["value", "json"] = Field("value", description="json: data is a text of JSON")
    language: Literal["jsonata", "jinja"] = Field("jsonata", description="Of what says how")
    expression: str | None = Field(None, description="JSONata that yields the result")
    template: Annotated[str, Field(max_length=LONGEST_TEMPLATE)] | None = Field(
        None, description="Jinja that writes the result"
    )

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if self.language == "jsonata" and self.expression is None:
            raise ValueError("language jsonata needs an expression")
        if self.language == "jinja" and self.template is None:
            raise ValueError("language jinja needs a template")
        return self


class DataTransformationOutput(BaseModel):
    """What came of it; null where an expression yields nothing."""

    result: Any


@process_task(topic="data_transformation")
def data_transformation(step: DataTransformationInput, context: TaskContext) -> DataTransformationOutput:
    """Transform data.

    Raises:
        BusinessError: EXPRESSION_FAILED, the expression or template does not fit the data; INVALID_INPUT.
        PermanentError: EXPRESSION_INVALID, it fits no data whatever.
        TransientError: EXPRESSION_NOT_ENDED, it took too long.
    """
    data = _data(step)
    if step.language == "jinja":
        return DataTransformationOutput(result=_filled(step.template or "", data, context))
    return DataTransformationOutput(result=_evaluated(step.expression or "", data))


def _data(step: DataTransformationInput) -> Any:
    """Return what is transformed.

    Raises:
        BusinessError: INVALID_INPUT, it is no JSON, or too large.
    """
    if step.data is None:
        data, name = plain("input", dict(step.model_extra or {})), "input"
    else:
        given = step.data if step.data_format == "value" else text_of_json("data", step.data)
        data, name = plain("data", given), "data"
    if (characters := looked_through(data).characters) > MOST_CHARACTERS:
        said = f"{name}: {characters} characters of texts and names, at most {MOST_CHARACTERS} are transformed"
        raise BusinessError("INVALID_INPUT", said)
    return data


def _evaluated(expression: str, data: Any) -> Any:
    try:
        result = evaluate("expression", expression, data).value
    except ExpressionError as error:
        match error.kind:
            case Fault.UNREADABLE:
                raise PermanentError(str(error), code=EXPRESSION_INVALID) from None
            case Fault.FAILED:
                raise BusinessError(EXPRESSION_FAILED, str(error)) from None
            case Fault.NOT_ENDED:
                raise TransientError(str(error), code=EXPRESSION_NOT_ENDED) from None
    if flaws := looked_through(result).flaws:
        raise BusinessError(EXPRESSION_FAILED, f"expression yields what cannot be stored: {flaws[0]}")
    return result


def _filled(template: str, data: Any, context: TaskContext) -> str:
    from tasks.templates import sandbox  # jinja2: only where it is used
    from tasks.templates.grammar import TemplateError

    limit = min(LONGEST_FILLING, context.remaining()).total_seconds()
    meter = sandbox.Meter(deadline=time.monotonic() + limit, clock=time.monotonic)
    try:
        text = sandbox.written(sandbox.compiled(template), _names(data), meter)[sandbox.TEXT]
    except TemplateError as error:
        raise PermanentError(f"template: {error}", code=EXPRESSION_INVALID) from error
    except sandbox.MisfitError as error:
        raise BusinessError(EXPRESSION_FAILED, f"template cannot be filled with this data: {error}") from None
    except sandbox.OutOfTimeError:
        raise TransientError(f"template was not filled within {limit:g} s", code=EXPRESSION_NOT_ENDED) from None
    if flaws := looked_through(text).flaws:
        raise BusinessError(EXPRESSION_FAILED, f"template writes what cannot be stored: {flaws[0]}")
    return text


def _names(data: Any) -> Mapping[str, Any]:
    """Return the names a template sees: the members of an object, else `data`."""
    return data if isinstance(data, dict) else {"data": data}
