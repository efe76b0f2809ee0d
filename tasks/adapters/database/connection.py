"""What an operator says of a database: where it is, what may be asked of it, and how much at once."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  # pydantic reads the annotation
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tasks.adapters.adapter import Connection
from tasks.secrets.connections import LONGEST_NAME, NAME

MIB = 1024 * 1024
OWN_PARAMETER = "idempotency_key"
"""The parameter a statement may use without a step giving it: the same text for every run of one step."""


def _parsed(value: object) -> object:
    """Read JSON: a field that stands in the settings of a worker is text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise PydanticCustomError("json_text", "expected JSON") from None


class DatabaseConnection(Connection):
    """A database: by its address (`url`), or by its parts."""

    url: SecretStr | None = None
    """As SQLAlchemy writes it: postgresql://user:password@host:5432/database?sslmode=verify-full, sqlite:////a/file."""
    dialect: Literal["postgresql", "sqlite"] | None = None
    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65535)
    database: str = ""
    """The name of the database, or the path of the file."""
    user: str | None = None
    password: SecretStr | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """How PostgreSQL is to be spoken to, in libpq's words; in a `url` it is a part of that."""

    statements: Annotated[dict[str, str], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """Name to SQL, with parameters as `:name`."""
    statements_directory: Path | None = None
    """A folder of more: `<name>.sql`, one statement each."""
    repeatable: Annotated[frozenset[str], BeforeValidator(_parsed)] = frozenset()
    """Statements that write, and may be run twice for one step; those that only read always may."""
    writable: bool = False
    free_statements: bool = False
    """Whether a model may bring SQL of its own."""

    statement_timeout: float = Field(30.0, gt=0, le=3600)
    """Seconds, rows and commit included."""
    lock_timeout: float = Field(5.0, gt=0, le=3600)
    """Seconds to wait for what another transaction holds."""
    connect_timeout: float = Field(5.0, ge=2, le=60)
    """Seconds; two is the least libpq knows."""
    row_limit: int = Field(1000, ge=1, le=100_000)
    byte_limit: int = Field(4 * MIB, ge=1024, le=64 * MIB)
    """Bytes of the rows as JSON, about; half of what a result may have by default."""
    pool_size: int = Field(2, ge=1, le=20)
    """Connections one process of a worker keeps open."""
    pool_recycle: float = Field(1800.0, gt=0)
    """Seconds after which a connection is made anew."""

    @field_validator("statements", mode="after")
    @classmethod
    def _have_names(cls, statements: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in statements if not is_name(name)]
        if wrong:
            raise PydanticCustomError("statement_names", "a statement's name has small letters, digits and _")
        return statements

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if (self.url is None) == (self.dialect is None):
            raise PydanticCustomError("database_place", "expected either url, or dialect with its parts")
        if self.dialect is not None and not self.database:
            raise PydanticCustomError("database_place", "database is missing")
        return self

    def identity(self) -> tuple[Any, ...]:
        """Return what tells two pools apart: all that is said of the place, and of the connections to it."""
        secret = self.url or self.password
        return (
            secret.get_secret_value() if secret else None, self.dialect, self.host, self.port, self.database, self.user,
            self.sslmode, self.writable, self.free_statements, self.connect_timeout, self.lock_timeout,
            self.byte_limit, self.pool_size, self.pool_recycle,
        )  # fmt: skip


def is_name(text: str) -> bool:
    """Whether a text could name a statement: it becomes the name of a file."""
    return len(text) <= LONGEST_NAME and NAME.fullmatch(text) is not None
