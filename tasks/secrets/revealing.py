"""Puts secrets where a task asks for them, at the last moment; called by `TaskContext`.

What is handed out is noted in the same breath: in the run's own `Redaction`, which keeps it out of its outcome, and for
the logs of the whole process. So what is struck out is what was handed out, whatever the secret is by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from procos.domain.errors import PermanentError
from procos.domain.redaction import SHORTEST
from procos.logs import keep_out_of_logs
from tasks.secrets.connections import fields_of, invalid
from tasks.secrets.placeholders import PLACEHOLDER, names_in, resolved
from tasks.secrets.sources import TOO_SHORT, check_allowed, secret_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.domain.external_task import Topic
    from procos.domain.redaction import Redaction
    from procos.settings import Settings

Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)


def revealed(value: Value, *, constant: str, topic: Topic, settings: Settings, run: Redaction) -> Value:
    """Return what a task made of a constant of its model, with the secrets that the constant names.

    Raises:
        PermanentError: the topic may not have one of them, or it cannot be had.
        TransientError: a folder of secrets does not answer now.
    """
    names = names_in(constant)
    for name in sorted(names):
        check_allowed(name, topic, settings)
    return resolved(value, lambda name: _handed_out(secret_of(name, settings), run), names)


def is_left_as_text(value: object) -> bool:
    """Whether a text looks as if it named a secret; for a word in the log, where nothing is put in its place."""
    return isinstance(value, str) and PLACEHOLDER.search(value) is not None


def connected(name: str, model: type[Model], *, settings: Settings, run: Redaction) -> Model:
    """Return a connection as a model, with the secrets its fields name.

    Raises:
        PermanentError: there is no such connection, a field is missing or wrong, or a secret cannot be had.
        TransientError: a folder does not answer now.
    """
    fields = {
        field: filled(name, field, value, settings=settings, run=run)
        for field, value in fields_of(name, settings).items()
    }
    try:
        connection = model.model_validate(fields)
    except ValidationError as error:
        raise invalid(name, error) from None  # its own words quote the values
    for field, secret in _secrets_in(connection):
        if secret and len(secret) < SHORTEST:
            text = f"has fewer than {SHORTEST} characters, too few to be kept out of results and logs"
            raise PermanentError(f"connection {name!r}, field {field!r}: {text}", code=TOO_SHORT)
        _handed_out(secret, run)
    return connection


def filled(connection: str, field: str, value: object, *, settings: Settings, run: Redaction) -> object:
    """Return what a field of a connection holds, with the secrets it names.

    Raises:
        PermanentError: one of them cannot be had; names connection and field.
        TransientError: the folder of secrets does not answer now.
    """
    try:
        names = frozenset[str]().union(*(names_in(text) for text in _flat(value) if isinstance(text, str)))
        return resolved(value, lambda secret: _handed_out(secret_of(secret, settings), run), names)
    except PermanentError as error:
        raise PermanentError(f"connection {connection!r}, field {field!r}: {error}", code=error.code) from None


def _secrets_in(model: BaseModel) -> Iterator[tuple[str, str]]:
    """Find what the model itself says is secret, whether it came from a secret by name or stood there."""
    for field, value in model:
        for inner in _flat(value):
            if isinstance(inner, SecretStr):
                yield field, inner.get_secret_value()
            elif isinstance(inner, BaseModel):
                yield from _secrets_in(inner)


def _flat(value: object) -> Iterator[object]:
    match value:
        case dict():
            for inner in value.values():
                yield from _flat(inner)
        case list() | tuple():
            for inner in value:
                yield from _flat(inner)
        case _:
            yield value


def _handed_out(secret: str, run: Redaction) -> str:
    run.add(secret)
    keep_out_of_logs(secret)
    return secret
