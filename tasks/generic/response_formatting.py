"""Topic `response_formatting`: makes an answer presentable, as text or as JSON, with or without what is known of it.

The JSON has the members `response` and, on request, `metadata`; the text has the metadata as lines after the answer.
Running it twice is harmless: the same variables give the same text.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel

from tasks.task import process_task

LABELS = {
    "model_used": "Model",
    "provider": "Provider",
    "usage": "Tokens",
    "response_time_ms": "Milliseconds",
}


class ResponseFormattingInput(BaseModel):
    """The answer, the form it shall have, and what is known of how it came about."""

    ai_response: str
    format_type: Literal["text", "json"] = "text"
    include_metadata: bool = False
    model_used: str | None = None
    provider: str | None = None
    usage: dict[str, Any] | None = None
    response_time_ms: int | None = None


class ResponseFormattingOutput(BaseModel):
    """The finished text; for `json` a JSON document as text."""

    formatted_response: str


@process_task(topic="response_formatting")
def response_formatting(answer: ResponseFormattingInput) -> ResponseFormattingOutput:
    """Write the answer in the form asked for."""
    write = _as_json if answer.format_type == "json" else _as_text
    return ResponseFormattingOutput(formatted_response=write(answer))


def _as_json(answer: ResponseFormattingInput) -> str:
    document: dict[str, Any] = {"response": answer.ai_response}
    if answer.include_metadata:
        document["metadata"] = _metadata(answer)
    return json.dumps(document, ensure_ascii=False, indent=2)


def _as_text(answer: ResponseFormattingInput) -> str:
    metadata = _metadata(answer) if answer.include_metadata else {}
    lines = [f"{LABELS[name]}: {_shown(value)}" for name, value in metadata.items()]
    return "\n".join([answer.ai_response, "", *lines]) if lines else answer.ai_response


def _metadata(answer: ResponseFormattingInput) -> dict[str, Any]:
    return answer.model_dump(include=set(LABELS), exclude_none=True)


def _shown(value: object) -> str:
    return str(value.get("total_tokens", value)) if isinstance(value, dict) else str(value)
