"""Writes a question as the arguments of OpenAI's chat completions.

Source: OpenAI's API reference, "Create chat completion"; what compatible servers make of it was tried on llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.ai.providers.chat_faults import STREAM, STREAM_OPTIONS, TEMPERATURE
from tasks.ai.strict_schema import strict_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tasks.ai.conversation import Message, Question, Tool
    from tasks.ai.provider import Profile

OPENAI_HOST = "api.openai.com"


def written(question: Question, profile: Profile, *, parts: Collection[str]) -> dict[str, Any]:
    """Return the arguments; of what an answer can do without, only `parts` are sent."""
    request: dict[str, Any] = {
        "model": question.model,
        "messages": [_message(message) for message in question.messages],
        _token_limit(profile): question.max_tokens,
    }
    if question.stop:
        request["stop"] = list(question.stop)
    if question.json_schema is not None and profile.capabilities.json_schema:
        request["response_format"] = _response_format(question.json_schema, is_openai=_is_openai(profile))
    if question.tools:
        request["tools"] = [_tool(tool) for tool in question.tools]
    if question.idempotency_key:
        request["extra_headers"] = {"Idempotency-Key": question.idempotency_key}
    dispensable = {
        TEMPERATURE: question.temperature,
        STREAM: True,
        STREAM_OPTIONS: {"include_usage": True},
    }
    return request | {name: value for name, value in dispensable.items() if name in parts and _fits(name, parts)}


def _fits(name: str, parts: Collection[str]) -> bool:
    return name != STREAM_OPTIONS or STREAM in parts


def _token_limit(profile: Profile) -> str:
    # OpenAI's newer models refuse max_tokens, most compatible servers know nothing else.
    return "max_completion_tokens" if _is_openai(profile) else "max_tokens"


def _is_openai(profile: Profile) -> bool:
    return urlsplit(profile.base_url).hostname == OPENAI_HOST


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _response_format(schema: Mapping[str, Any], *, is_openai: bool) -> dict[str, Any]:
    """Write the schema: for OpenAI narrowed to what its strict mode takes, for others, which enforce more, whole."""
    strict = strict_schema(schema)
    if strict != schema and not is_openai:
        strict = None
    sent = dict(schema) if strict is None else strict
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": sent, "strict": strict is not None}}
