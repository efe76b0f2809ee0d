"""Messages, tools and tool calls as a process carries them in variables, and as adapters take them.

A process that lets a model call tools keeps the conversation in a variable: the model's answer is appended to it, the
process runs the tool, and hands its result back with the next question.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tasks.ai.conversation import Message, Role, Tool, ToolCall
from tasks.ai.sendable import SENDABLE, Words
from tasks.ai.tool_arguments import read_arguments

if TYPE_CHECKING:
    from typing import Self

    from tasks.ai.conversation import Answer

MOST_MESSAGES, MOST_TOOLS = 1000, 128
TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What every provider takes as the name of a tool."""

ToolName = Annotated[str, StringConstraints(pattern=f"^{TOOL_NAME.pattern}$")]


class ToolCallField(BaseModel):
    """A tool the model wants called; `arguments` is an object where the model wrote one, else the text it wrote."""

    id: Words
    name: Words
    arguments: Annotated[dict[str, Any] | str, SENDABLE] = Field(default_factory=dict)

    def call(self) -> ToolCall:
        """Return it as adapters take it."""
        text = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)
        return ToolCall(id=self.id, name=self.name, arguments=text)

    @classmethod
    def of(cls, call: ToolCall) -> ToolCallField:
        """Return it as a process carries it."""
        return cls(id=call.id, name=call.name, arguments=read_arguments(call.arguments).value)


class MessageField(BaseModel):
    """One message of a conversation."""

    role: Role
    content: Words = ""
    tool_calls: list[ToolCallField] = Field(default_factory=list)
    tool_call_id: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.content.strip() and not self.tool_calls and self.role is not Role.TOOL:
            raise ValueError("a message has a content, or tool_calls")
        if self.role is Role.TOOL and not self.tool_call_id:
            raise ValueError("a message of the role tool has a tool_call_id")
        return self

    def message(self) -> Message:
        """Return it as adapters take it."""
        return Message(
            role=self.role,
            content=self.content,
            tool_calls=tuple(call.call() for call in self.tool_calls),
            tool_call_id=self.tool_call_id,
        )

    @classmethod
    def of(cls, message: Message) -> MessageField:
        """Return it as a process carries it."""
        calls = [ToolCallField.of(call) for call in message.tool_calls]
        return cls(
            role=message.role, content=message.content, tool_calls=calls, tool_call_id=message.tool_call_id
        )  # fmt: skip

    def as_variable(self) -> dict[str, Any]:
        """Return it as the value of a variable."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"role": str(self.role), "content": self.content}


class ToolField(BaseModel):
    """A tool the model may ask for; `parameters` is a JSON Schema of its arguments."""

    model_config = ConfigDict(extra="forbid")

    name: ToolName
    description: Words = ""
    parameters: Annotated[dict[str, Any], SENDABLE] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )

    def tool(self) -> Tool:
        """Return it as adapters take it."""
        return Tool(name=self.name, description=self.description, parameters=self.parameters)


class ToolResult(BaseModel):
    """What a tool gave for one of the model's calls; anything but a text is written as JSON."""

    id: Words
    content: Annotated[Any, SENDABLE]

    def message(self) -> MessageField:
        """Return it as the message that answers the call."""
        text = self.content if isinstance(self.content, str) else json.dumps(self.content, ensure_ascii=False)
        return MessageField(role=Role.TOOL, content=text, tool_call_id=self.id)


def spoken(answer: Answer) -> MessageField:
    """Return an answer as the message with which a conversation goes on."""
    calls = [ToolCallField.of(call) for call in answer.tool_calls]
    return MessageField(role=Role.ASSISTANT, content=answer.text, tool_calls=calls)
