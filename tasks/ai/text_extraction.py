"""Topic `text_extraction`: takes facts out of a text, into the JSON Schema that the model of the process carries.

The text is of strangers, so it is fenced; what comes back is checked against the schema, corrected once, and else an
error the process can catch. Running it twice is harmless, as with `ai_query`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.ai.asking import ask
from tasks.ai.fields import Answered, Asking, answered, wish_of
from tasks.ai.prompts.library import library
from tasks.ai.prompts.rendering import filled
from tasks.ai.sendable import Text, Words  # noqa: TC001  # pydantic reads them
from tasks.ai.structured import schema_from
from tasks.task import TaskContext, process_task

TEMPLATE = "text_extraction"


class TextExtractionInput(Asking):
    """The text, and what to take out of it."""

    text: Text
    json_schema: dict[str, Any] | str
    instructions: Words | None = Field(None, max_length=20_000)
    temperature: float = Field(0.0, ge=0, le=2)


class TextExtractionOutput(Answered):
    """What was found, as the schema has it, and as the model wrote it."""

    extracted: Any
    ai_response: str
    template_version: str


@process_task(topic="text_extraction")
def text_extraction(wanted: TextExtractionInput, context: TaskContext) -> TextExtractionOutput:
    """Take out of a text what a schema asks for.

    Raises:
        TaskError: VALIDATION_FAILED where the model does not keep to the schema; or as with every question.
        StepCancelled: nobody waits for it any more.
    """
    schema = schema_from(wanted.json_schema)
    variables = {"text": wanted.text, "instructions": wanted.instructions}
    prompt = filled(
        library(context.settings.ai).template(TEMPLATE),
        variables,
        key=context.idempotency_key,
        within=context.remaining(),
    )
    reply = ask(wish_of(wanted, prompt.messages, json_schema=schema), context)
    return TextExtractionOutput(
        extracted=reply.value,
        ai_response=reply.answer.text,
        template_version=prompt.template_version,
        **answered(reply),
    )
