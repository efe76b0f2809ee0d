"""Topic `text_generation`: writes a text, from a named prompt template or from messages.

With `tools` the model may ask for tools instead of answering: what it wants called is in `tool_calls`, for the process
to call. The process hands the results back as `tool_results` with the next question, and keeps the conversation in
`messages`, to which the answer is appended. Running it twice is harmless, as with `ai_query`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from tasks.ai.asking import ask
from tasks.ai.fields import Answered, Asking, answered, wish_of
from tasks.ai.message_fields import (
    MOST_MESSAGES,
    MOST_TOOLS,
    MessageField,
    ToolCallField,
    ToolField,
    ToolResult,
    spoken,
)
from tasks.ai.prompts.library import library
from tasks.ai.prompts.rendering import filled
from tasks.ai.sendable import Words  # noqa: TC001  # pydantic reads it
from tasks.ai.structured import schema_from
from tasks.task import TaskContext, process_task

if TYPE_CHECKING:
    from collections.abc import Mapping


class TextGenerationInput(Asking):
    """A template and its variables, or messages; and what else the model is told or offered."""

    template: str | None = Field(None, description="the name of a prompt template")
    template_variables: dict[str, Any] = Field(default_factory=dict, description="what it is filled with")
    messages: list[MessageField] = Field(default_factory=list, max_length=MOST_MESSAGES)
    tool_results: list[ToolResult] = Field(default_factory=list, max_length=MOST_MESSAGES)
    tools: list[ToolField] = Field(default_factory=list, max_length=MOST_TOOLS)
    stop: list[Words] = Field(default_factory=list, max_length=4)
    json_schema: dict[str, Any] | str | None = Field(
        None, description="what the answer shall be, as JSON Schema or its text"
    )

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.template is None) is not bool(self.messages):
            raise ValueError("expected either template or messages")
        if self.template is not None and self.tool_results:
            raise ValueError("tool_results go with the messages of the conversation, not with a template")
        return self


class TextGenerationOutput(Answered):
    """The text; `result` is what a schema or template asked for, `messages` the conversation with the answer."""

    ai_response: str
    result: Any = None
    tool_calls: list[ToolCallField]
    messages: list[dict[str, Any]]
    template: str | None
    template_version: str | None


@process_task(topic="text_generation")
def text_generation(wanted: TextGenerationInput, context: TaskContext) -> TextGenerationOutput:
    """Write a text.

    Raises:
        TaskError: no provider is configured, or the provider failed, refused or was unclear; or the template is wrong.
        StepCancelled: nobody waits for the text any more.
    """
    schema: Mapping[str, Any] | None = None if wanted.json_schema is None else schema_from(wanted.json_schema)
    said = tuple(each.message() for each in [*wanted.messages, *(each.message() for each in wanted.tool_results)])
    version = None
    if wanted.template is not None:
        template = library(context.settings.ai).template(wanted.template)
        prompt = filled(template, wanted.template_variables, key=context.idempotency_key, within=context.remaining())
        said, version, schema = prompt.messages, prompt.template_version, schema or prompt.json_schema
    tools = tuple(tool.tool() for tool in wanted.tools)
    reply = ask(wish_of(wanted, said, stop=tuple(wanted.stop), json_schema=schema, tools=tools), context)
    conversation = [*map(MessageField.of, said), answer := spoken(reply.answer)]
    return TextGenerationOutput(
        ai_response=reply.answer.text,
        result=reply.value,
        tool_calls=answer.tool_calls,
        messages=[message.as_variable() for message in conversation],
        template=wanted.template,
        template_version=version,
        **answered(reply),
    )
