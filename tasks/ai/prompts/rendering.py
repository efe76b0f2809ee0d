"""Makes the messages for a model of a template and the variables of a step.

What strangers may have written does not become a part of the template's text: it goes into a message of its own, fenced
(`tasks.ai.fencing`), and the template sees a few words that name it. The system message comes first and depends on
little, so that providers can reuse what they have read of it. The topics that take a `template` are the callers.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from procos.domain.errors import BusinessError
from tasks.ai.conversation import Message, Role
from tasks.ai.fencing import RULE, untrusted_message
from tasks.ai.model_text import cleaned, needs_cleaning
from tasks.ai.prompts.template import INVALID_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.ai.prompts.template import Template, Variable

LARGEST_INPUT = 1_000_000
"""Characters of all variables of one template together."""
LONGEST_FILLING = timedelta(seconds=2)
LABEL = "label"
"""The member of an answer that is one of several texts."""
KINDS = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The messages to send, and what the result tells of where they are from."""

    messages: tuple[Message, ...]
    template: str
    template_version: str
    json_schema: Mapping[str, Any] | None = None
    """What the answer shall be, where the template says that it is one of several texts: an object with `label`."""


def filled(
    template: Template,
    variables: Mapping[str, object],
    *,
    key: str,
    within: timedelta = LONGEST_FILLING,
    clock: Callable[[], float] = time.monotonic,
) -> Prompt:
    """Fill a template; variables it does not name are left alone, one that is null counts as absent.

    `key` is the step's idempotency key, from which the fence around the texts of strangers is made.

    Raises:
        BusinessError: INVALID_INPUT, which names each variable that is missing, wrong, or too large.
        PermanentError: the template is wrong.
        TransientError: it was not filled in time.
    """
    from tasks.ai.prompts.sandbox import written  # jinja2: only where it is used
    from tasks.templates.sandbox import Meter

    values = _checked(template, variables)
    untrusted = {
        name: value if isinstance(value, str) else _json(value)
        for name, value in values.items()
        if template.head.variables[name].untrusted and value is not None
    }
    shown = values | {name: f'the data named "{name}"' for name in untrusted}
    limit = min(within, LONGEST_FILLING).total_seconds()
    blocks = written(template, shown, Meter(deadline=clock() + limit, clock=clock))
    messages = tuple(_messages(blocks, untrusted, key))
    if all(message.role is Role.SYSTEM for message in messages):
        raise BusinessError(INVALID_INPUT, f"prompt template {template.name!r} has nothing to ask with these variables")
    return Prompt(
        messages=messages,
        template=template.name,
        template_version=template.version,
        json_schema=label_schema(values[template.head.one_of]) if template.head.one_of else None,
    )


def label_schema(labels: list[str]) -> dict[str, Any]:
    """Return the JSON Schema of an answer that is one of these texts."""
    return {
        "type": "object",
        "properties": {LABEL: {"type": "string", "enum": labels}},
        "required": [LABEL],
        "additionalProperties": False,
    }


def _messages(blocks: Mapping[str, str], untrusted: Mapping[str, str], key: str) -> Iterator[Message]:
    system = "\n\n".join(filter(None, [cleaned(blocks.get("system", "")), RULE if untrusted else ""]))
    if system:
        yield Message(role=Role.SYSTEM, content=system)
    if blocks.get("user"):
        yield Message(role=Role.USER, content=cleaned(blocks["user"]))
    if untrusted:
        yield untrusted_message(untrusted, key=key)


def _checked(template: Template, variables: Mapping[str, object]) -> dict[str, Any]:
    """Return a value for each variable of the template, None for one that is absent.

    Raises:
        BusinessError: INVALID_INPUT, with every variable that is missing or wrong.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, variable in template.head.variables.items():
        given = variables.get(name)
        values[name] = variable.default if given is None else to_jsonable_python(given)
        if reason := _fault(variable, values[name], is_choice=name == template.head.one_of):
            wrong.append(f"{name}: {reason}")
    if not wrong and (size := sum(len(_json(value)) for value in values.values())) > LARGEST_INPUT:
        wrong.append(f"{', '.join(values)}: {size} characters together, more than {LARGEST_INPUT}")
    if wrong:
        raise BusinessError(INVALID_INPUT, f"{'; '.join(wrong)} (prompt template {template.name!r})")
    return values


def _fault(variable: Variable, value: Any, *, is_choice: bool) -> str:
    if value is None:
        return "is missing" if variable.must_be_given else ""
    kind = KINDS.get(type(value), "any")
    if variable.type not in {kind, "any"}:
        return f"expected {variable.type}, got {kind}"
    if is_choice and not _are_choices(value):
        return "expected a list of texts, none of them blank, there twice, or with control characters"
    return ""


def _are_choices(value: Any) -> bool:
    """Whether these can be answers: they are shown to the model, and stand in the schema of its answer as they are."""
    are_texts = isinstance(value, list) and all(
        isinstance(each, str) and each.strip() and not needs_cleaning(each) for each in value
    )
    return are_texts and 0 < len(set(value)) == len(value)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
