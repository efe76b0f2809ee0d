"""Topic `response_formatting`: makes an answer or any data presentable, as text, Markdown, JSON or CSV.

An `ai_response` is written with or without what is known of how it came about; `data` is anything else, such as the
rows of a query. CSV is always of `data`; the others are of the answer where there is one. What a value holds cannot
break out of its cell, its line or its column (`tasks.generic.markdown`, `tasks.generic.csv_text`).

Running it twice is harmless: the same variables give the same text.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.generic import csv_text, markdown
from tasks.generic.json_values import plain
from tasks.generic.rows import MOST_COLUMNS, compact
from tasks.task import process_task

LABELS = {
    "model_used": "Model",
    "provider": "Provider",
    "usage": "Tokens",
    "response_time_ms": "Milliseconds",
}
MEDIA_TYPES = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "json": "application/json",
    "csv": "text/csv",
}
"""Sources: RFC 2046, 7763, 8259 and 4180."""


class ResponseFormattingInput(BaseModel):
    """An answer or data, the form it shall have, and what is known of how it came about."""

    model_config = ConfigDict(hide_input_in_errors=True)

    ai_response: str | None = Field(None, description="An answer, as the topics of AI give it")
    data: Any = Field(None, description="Anything else; for csv a list of objects")
    format_type: Literal["text", "markdown", "json", "csv"] = "text"
    include_metadata: bool = Field(False, description="Not for csv")
    model_used: str | None = None
    provider: str | None = None
    usage: dict[str, Any] | None = None
    response_time_ms: int | None = None
    columns: Annotated[list[str], Field(min_length=1, max_length=MOST_COLUMNS)] | None = Field(
        None, description="Which members of the rows, in which order; all, if empty"
    )
    delimiter: Literal[",", ";", "|", "tab"] = Field(",", description="Of csv")
    with_header: bool = Field(True, description="Whether csv begins with the names of the columns")
    quoting: Literal["minimal", "all"] = Field("minimal", description="Which cells of csv stand in quotes")
    guard_formulas: bool = Field(True, description="Whether texts of csv that a spreadsheet would run are disarmed")

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.data is None and (self.ai_response is None or self.format_type == "csv"):
            needed = "data" if self.format_type == "csv" else "ai_response or data"
            raise ValueError(f"format_type {self.format_type} needs {needed}")
        return self


class ResponseFormattingOutput(BaseModel):
    """The finished text, and what it is."""

    formatted_response: str
    media_type: str


@process_task(topic="response_formatting")
def response_formatting(answer: ResponseFormattingInput) -> ResponseFormattingOutput:
    """Write an answer, or data, in the form asked for.

    Raises:
        BusinessError: INVALID_INPUT, the data has not the shape the form needs.
    """
    write = {"text": _as_text, "markdown": _as_markdown, "json": _as_json, "csv": _as_csv}[answer.format_type]
    return ResponseFormattingOutput(formatted_response=write(answer), media_type=MEDIA_TYPES[answer.format_type])


def _as_json(answer: ResponseFormattingInput) -> str:
    document: Any = _data(answer) if answer.ai_response is None else {"response": answer.ai_response}
    if answer.include_metadata:
        document = document if answer.ai_response is not None else {"response": document}
        document["metadata"] = _metadata(answer)
    return json.dumps(document, ensure_ascii=False, indent=2)


def _as_text(answer: ResponseFormattingInput) -> str:
    text = answer.ai_response if answer.ai_response is not None else _plain_text(_data(answer))
    metadata = _metadata(answer) if answer.include_metadata else {}
    lines = [_line(f"{LABELS[name]}: {_shown(value)}") for name, value in metadata.items()]
    return "\n".join([text, "", *lines]) if lines else text


def _as_markdown(answer: ResponseFormattingInput) -> str:
    """Put the metadata first: nothing an answer may leave open can swallow it there."""
    metadata = _metadata(answer) if answer.include_metadata else {}
    about = markdown.record({LABELS[name]: _shown(value) for name, value in metadata.items()}) if metadata else ""
    body = answer.ai_response if answer.ai_response is not None else markdown.document(_data(answer), answer.columns)
    return f"{about}\n\n{body}" if about else body


def _as_csv(answer: ResponseFormattingInput) -> str:
    return csv_text.written(
        _data(answer),
        columns=answer.columns,
        delimiter="\t" if answer.delimiter == "tab" else answer.delimiter,
        with_header=answer.with_header,
        quotes_all=answer.quoting == "all",
        guards_formulas=answer.guard_formulas,
    )


def _data(answer: ResponseFormattingInput) -> Any:
    return plain("data", answer.data)


def _plain_text(data: Any) -> str:
    """Write a text as it is, one line for each item or member, and anything else as compact JSON."""
    if isinstance(data, dict):
        return "\n".join(_line(f"{name}: {compact(value)}") for name, value in data.items())
    return "\n".join(_line(compact(item)) for item in data) if isinstance(data, list) else compact(data)


def _line(text: str) -> str:
    """Write a text on one line: a line break in it would be taken for the next item."""
    return " ".join(text.splitlines())


def _metadata(answer: ResponseFormattingInput) -> dict[str, Any]:
    return answer.model_dump(include=set(LABELS), exclude_none=True)


def _shown(value: object) -> str:
    return str(value.get("total_tokens", value)) if isinstance(value, dict) else str(value)
