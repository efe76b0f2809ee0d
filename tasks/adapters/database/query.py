"""What a step asks of a database, and what it gets."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

LONGEST_SQL = 64 * 1024
"""Characters; as much as a file of a statement may have."""


def _parsed(parameters: object) -> object:
    """Read parameters that a model has written down as text."""
    if not isinstance(parameters, str):
        return parameters
    try:
        return json.loads(parameters)
    except (ValueError, RecursionError):
        raise PydanticCustomError("json_text", "expected a JSON object") from None


class Query(BaseModel):
    """One statement: by name, or, where the connection allows it, as SQL."""

    model_config = ConfigDict(hide_input_in_errors=True)

    statement: str | None = None
    sql: str | None = Field(None, max_length=LONGEST_SQL)
    parameters: Annotated[dict[str, Any], BeforeValidator(_parsed)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.statement is None) == (self.sql is None):
            raise PydanticCustomError("one_statement", "expected either statement or sql")
        return self


class Rows(BaseModel):
    """What a statement returned."""

    rows: list[dict[str, Any]]
    """One object for each row, with a member for each column."""
    columns: list[str]
    row_count: int
    """Rows that are here; for a statement that returns none, how many it changed."""
    truncated: bool
    """Whether the statement returned more than the connection lets through."""
