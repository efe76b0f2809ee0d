"""Camunda Modeler element templates, made from the routes and the tasks' own models: pick a step, fill in its fields.

One template for each topic, for service and send tasks. Every field is optional: where nothing is filled in nothing is
written to the model, and the task reads the variable of its own name, as it does without a template. A mapping that
only copied would do harm: the engine stores what it copies as a text of at most 4,000 characters, and writes null for
what a step has not set. Source: Camunda Modeler documentation, "Element Templates" for Camunda 7; a test checks its
JSON schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args, get_origin

from procos.domain.mapping import ERROR_EXPRESSION, RESULT_EXPRESSION, RESULT_VARIABLE
from procos.domain.retry import RETRY_CONFIG
from procos.routes import routes
from tasks.functions import models_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from procos.domain.external_task import Topic
    from procos.routes import Route

APPLIES_TO = ["bpmn:ServiceTask", "bpmn:SendTask"]
GROUPS = [
    {"id": "input", "label": "Input"},
    {"id": "output", "label": "Output"},
    {"id": "errors", "label": "Errors"},
    {"id": "retries", "label": "Retries"},
]
TEXT_FROM = 1000
"""A text that may be longer than this is written in a field of several lines."""


def element_templates() -> list[dict[str, object]]:
    """Return the templates of all topics, in their order."""
    return [template(topic, route) for topic, route in sorted(routes().items())]


def template(topic: Topic, route: Route) -> dict[str, object]:
    """Return the template of one topic."""
    model, returned = models_of(topic)
    return {
        "name": topic.replace("_", " ").capitalize(),
        "id": f"{route.source}.{topic}",
        "description": (model.__doc__ or "").strip().partition("\n")[0],
        "appliesTo": APPLIES_TO,
        "groups": GROUPS,
        "properties": [
            _hidden("external", "camunda:type"),
            _hidden(topic, "camunda:topic"),
            *(_input(_read_as(name, field), field) for name, field in model.model_fields.items()),
            *(_output(name, field) for name, field in (returned.model_fields.items() if returned else ())),
            *_mapping(),
            _retries(),
        ],
    }


def _read_as(name: str, field: FieldInfo) -> str:
    """Return the name of the variable a field is filled from."""
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name


def _hidden(value: str, name: str) -> dict[str, object]:
    return {"type": "Hidden", "value": value, "binding": {"type": "property", "name": name}}


def _input(name: str, field: FieldInfo) -> dict[str, object]:
    binding = {"type": "camunda:inputParameter", "name": name}
    found: dict[str, object] = {"label": name, "group": "input", "binding": binding, "optional": True}
    found["description"] = "; ".join(filter(None, [field.description, _otherwise(name, field)]))
    choices = _choices(field)
    if choices:
        return {**found, "type": "Dropdown", "choices": [{"name": choice, "value": choice} for choice in choices]}
    return {**found, "type": "Text" if _is_long(field) else "String"}


def _otherwise(name: str, field: FieldInfo) -> str:
    """Say what the task takes where the field is left empty."""
    if field.is_required():
        return f"empty: the variable {name}, which must be there"
    default = "" if field.default_factory or field.default is None else f", else {field.default}"
    return f"empty: the variable {name}{default}"


def _output(name: str, field: FieldInfo) -> dict[str, object]:
    found: dict[str, object] = {
        "label": name,
        "group": "output",
        "type": "String",
        "optional": True,
        "binding": {"type": "camunda:outputParameter", "source": f"${{{name}}}"},
        "description": "; ".join(filter(None, [field.description, f"empty: sets {name}; a name: sets that one too"])),
    }
    return found


def _mapping() -> list[dict[str, object]]:
    """Offer what a model may say of output and errors; checked by `procos deploy`, since Modeler knows no JSONata."""
    offers = (
        ("output", RESULT_VARIABLE, "Result variable",
         "a name: sets the whole result as one variable, instead of one for each output"),
        ("output", RESULT_EXPRESSION, "Result expression",
         "JSONata over the outputs that yields an object: sets its members instead"),
        ("errors", ERROR_EXPRESSION, "Error expression",
         "JSONata over error and retries: $bpmnError, $jobError, $ignoreError, or nothing; empty: as the error says"),
    )  # fmt: skip
    return [
        {
            "label": label,
            "group": group,
            "type": "String",
            "optional": True,
            "description": description,
            "binding": {"type": "camunda:property", "name": name},
        }
        for group, name, label, description in offers
    ]


def _retries() -> dict[str, object]:
    return {
        "label": "Attempts and waits",
        "group": "retries",
        "type": "String",
        "optional": True,
        "description": "R3/PT5M: three attempts, five minutes apart; PT1M,PT1H: these waits; empty: as the route says",
        "constraints": {"pattern": {"value": r"^(R\d+/)?P.+$", "message": "expected R3/PT5M or PT1M,PT5M,PT1H"}},
        "binding": {"type": "camunda:property", "name": RETRY_CONFIG},
    }


def _choices(field: FieldInfo) -> tuple[str, ...]:
    values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if values and all(isinstance(value, str) for value in values):
        return values
    return ("true", "false") if field.annotation is bool else ()


def _is_long(field: FieldInfo) -> bool:
    if field.annotation is not str:
        return False
    limits = [getattr(each, "max_length", None) for each in field.metadata]
    return all(limit is None or limit > TEXT_FROM for limit in limits)
