"""A careless task: it lets the secret it was handed out in every way a task can. It may run twice, for it does no more.

It is registered by `sample_tasks.leaky`, so that tests may run it under a route of their own.
"""

import html
import json
import logging
import sys
import warnings
from base64 import b64encode, urlsafe_b64encode
from datetime import timedelta
from typing import NoReturn
from urllib.parse import quote, quote_plus

import structlog
from pydantic import BaseModel

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from tasks.context import TaskContext

WAYS = (
    "result", "large", "nested", "key", "encoded", "business", "business code", "permanent", "permanent code",
    "transient", "postpone", "unforeseen", "chained", "source", "invalid", "unwritable",
)  # fmt: skip


class Order(BaseModel):
    """How to let it out, and what holds it."""

    way: str
    token: str
    note: str = ""


class Number(BaseModel):
    """What no secret is."""

    number: int


def leak(order: Order, context: TaskContext) -> dict[str, object]:
    """Let a secret out, and say what a user's text was taken for."""
    secret = context.revealed("token", order.token).removeprefix("Bearer ")
    _say(secret)
    results: dict[str, dict[str, object]] = {
        "result": {"answer": f"the token is {secret}", "note_back": context.revealed("note", order.note)},
        "large": {"answer": f"{secret} " * 2000},
        "nested": {"answer": {"deep": [{"token": secret}, [secret, 1]]}},
        "key": {"answer": {secret: {secret: 1}}, secret: 2},
        "encoded": {"answer": list(_encoded(secret))},
    }
    if order.way not in results:
        _throw(order.way, secret)
        _fail(order.way, secret)
    return results[order.way]


def _throw(way: str, secret: str) -> None:
    match way:
        case "business":
            raise BusinessError("LEAKED", f"no: {secret}", variables={"body": {"echo": [secret]}, secret: secret})
        case "business code":
            raise BusinessError(secret, "no")
        case "unwritable":
            raise BusinessError("LEAKED", variables={"body": {(1, secret): 2}})


def _fail(way: str, secret: str) -> NoReturn:
    match way:
        case "permanent":
            raise PermanentError(f"refused: {json.dumps(secret)}")
        case "permanent code":
            raise PermanentError("refused", code=secret)
        case "postpone":
            raise RateLimited(f"{quote(secret)} is too fast", retry_in=timedelta(days=1))
        case "unforeseen":
            raise KeyError(secret)
        case "chained":
            _raise_from_another(secret)
        case "source":
            exec(compile(f"raise ValueError({secret!r})", f"<{secret}>", "exec"))  # noqa: S102  # a traceback names it
        case "invalid":
            Number.model_validate({"number": secret})
    raise TransientError(f"not this time: {_basic(secret)}")


def _raise_from_another(secret: str) -> NoReturn:
    try:
        _refuse(secret)
    except ConnectionError as error:
        raise RuntimeError(f"it said {error!r}, to {secret.encode()!r}") from error


def _refuse(words: str) -> NoReturn:
    raise ConnectionError(words)


def _say(secret: str) -> None:
    structlog.stdlib.get_logger("leaks").warning("leaks.said", token=secret, nested={"all": list(_encoded(secret))})
    client = logging.getLogger("some.client")
    client.error("asked with %s", secret)
    try:
        _refuse(f"https://user:{quote(secret, safe='')}@host refuses {secret}")
    except ConnectionError:
        client.exception("the connection was refused")
    print(f"stdout: {secret}")  # noqa: T201  # careless tasks do
    print(f"stderr: {secret}", file=sys.stderr)  # noqa: T201  # the same
    warnings.warn(f"the token {secret} is old", stacklevel=1)


def _encoded(secret: str) -> tuple[str, ...]:
    return (
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret), html.escape(secret),
        repr(secret), repr(secret.encode()), _basic(secret), b64encode(secret.encode("latin-1")).decode(),
        b64encode(secret.encode()).decode(), urlsafe_b64encode(secret.encode()).decode(), json.dumps({"t": secret}),
        json.dumps(json.dumps(secret)), b64encode(f"users:{secret}!".encode()).decode(),
    )  # fmt: skip


def _basic(secret: str) -> str:
    return b64encode(f"user:{secret}".encode()).decode()
