"""What is said to a model and what it says back: the values every provider's adapter takes and returns.

They name nothing of any provider's wire. `tasks.ai.provider` says what an adapter does with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class FinishReason(StrEnum):
    """Why a model stopped; servers that say nothing, or something else, are `UNKNOWN`."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool the model wants called; the process calls it, nobody here does. `arguments` is JSON text as it came."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool a model may ask for; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: what was said by whom, and what tool calls it holds or answers."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of which model, and within which limits."""

    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    temperature: float
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    """What the answer shall be, as JSON Schema (2020-12); None for text."""
    tools: tuple[Tool, ...] = ()
    idempotency_key: str = ""

    @property
    def text(self) -> str:
        """Everything said, for estimates of size."""
        return "\n".join(message.content for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said, and what the server said about how it came to be."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: Mapping[str, int] = field(default_factory=dict)
    """Token counts by OpenAI's names (`prompt_tokens`, `completion_tokens`, `cached_tokens`, …), none invented."""
    tool_calls: tuple[ToolCall, ...] = ()
    was_cleaned: bool = False
    """Whether characters that cannot be stored were taken out."""
