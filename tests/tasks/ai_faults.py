"""What can go wrong with an AI step, line by line of the table in docs/ai.md, and how the step then ends."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from procos.domain.errors import RateLimited, TransientError
from procos.domain.variables import TypedValue
from tasks.ai.breaker import UNAVAILABLE, Breakers
from tasks.ai.limits import Limits
from tasks.ai.providers.faults import DEFAULT_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from tests.tasks.conftest import ProviderServer

OPENAI, OLLAMA = "openai", "ollama"
BOTH = (OPENAI, OLLAMA)
NOBODY = "http://127.0.0.1:9"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
QUERY: dict[str, Any] = {"user_query": "why?"}
EXTRACTION: dict[str, Any] = {"text": "seven", "json_schema": SCHEMA}


class Wire:
    """One kind of provider: what it says, in its own way."""

    def __init__(self, kind: str, server: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self.server, self.monkeypatch, self.over = kind, server, monkeypatch, threading.Event()
        self.says()

    def says(self, text: str = "42", *, end: str | None = "stop", **message: Any) -> None:
        """Answer; without an end it breaks off."""
        if self.kind == OPENAI:
            events = [{"model": "m", "choices": [_choice({"content": text} | message, None)]}]
            self.server.stream(*events, *([{"choices": [_choice({}, end)]}, "[DONE]"] if end else []))
            return
        lines: list[dict[str, Any]] = [{"model": "m", "message": {"content": text}}]
        lines += [{"model": "m", "message": {"content": ""}, "done": True, "done_reason": end}] if end else []
        self.server.reply("".join(json.dumps(line) + "\n" for line in lines).encode())

    def refuses(
        self, status: int, *, code: str = "", said: str = "said", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with a status, and what such a provider puts beside it."""
        error: Any = {"code": code or None, "message": said} if self.kind == OPENAI else said
        self.server.reply({"error": error}, status=status, headers=headers)

    def hangs(self, *, after: str = "") -> None:
        """Say a little, or nothing, and nothing more."""
        self.says(after, end=None)
        beginning = list(self.server.pieces()) if after else []

        def pieces() -> Iterator[bytes]:
            yield from beginning
            self.over.wait(5)

        self.server.pieces = pieces

    def heals(self) -> None:
        """Answer as it should from the second request on."""
        sick = self.server.pieces

        def pieces() -> Iterator[bytes]:
            self.says()
            yield from sick()

        self.server.pieces = pieces

    def refuses_once(self, part: type, method: str, error: Exception) -> None:
        """Have a part that stands before the provider refuse once; on a real Redis the contract tests have it do so."""
        left, real = [error], getattr(part, method)

        def refuse(*args: Any, **options: Any) -> Any:
            if left:
                raise left.pop()
            return real(*args, **options)

        self.monkeypatch.setattr(part, method, refuse)


def _choice(delta: Mapping[str, Any], end: str | None) -> Mapping[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": end}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """A BPMN error."""

    code: str
    names: tuple[str, ...] = ()
    """The variables it sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A failure without a second try, whose message holds `says`."""

    code: str
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """Tried again after this time, retries unchanged."""

    after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A failure that is tried again, after this time if it names one; it passes unless `lasts`."""

    code: str
    after: timedelta | None = None
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong: `line` is the first cell of its line in the docs; `{KIND}` stands in settings."""

    line: str
    id: str
    ends: Caught | Incident | Postponed | Retried
    made: Callable[[Wire], None] = lambda _: None
    kinds: tuple[str, ...] = BOTH
    topic: str = "ai_query"
    given: Mapping[str, Any] = field(default_factory=lambda: QUERY)
    settings: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, **more: Any) -> Callable[[Wire], None]:
    return lambda wire: wire.refuses(status, **more)


def words(text: str = "42", **more: Any) -> Callable[[Wire], None]:
    return lambda wire: wire.says(text, **more)


SEVEN = {"retry-after": "7"}
FILTER = partial(Fault, line="the provider's filter withheld question or answer", kinds=(OPENAI,),
                 ends=Caught(code="CONTENT_FILTERED"))  # fmt: skip
TOO_LONG = partial(
    Fault, line="the question is longer than the model, and every larger one in the chain, can take",
    ends=Caught(code="CONTEXT_TOO_LONG"),
)  # fmt: skip
BUDGET = partial(
    Fault, line="a budget would be exceeded", ends=Caught(code="BUDGET_EXCEEDED", names=("budget", "cost_so_far")),
)  # fmt: skip
SHAPE = partial(
    Fault, line="the answer does not fit the schema, corrected once", topic="text_extraction", given=EXTRACTION,
    ends=Caught(code="VALIDATION_FAILED", names=("validation_errors",)),
)  # fmt: skip
INVALID = partial(
    Fault, kinds=(OPENAI,), ends=Caught(code="INVALID_INPUT"),
    line="a variable is missing or wrong, a template's variable too; or it holds what no provider takes: NUL, half of a"
    " surrogate pair, NaN",
)  # fmt: skip
DENIED = partial(Fault, line="401, 403")
WRONG = partial(
    Fault,
    line="no provider, an unknown one, one that is not configured; an unknown model or template; a wrong schema;"
    " a used-up quota; a request that is refused, as for a temperature out of range; what is no answer of a model",
)
PATIENCE = partial(Fault, line="429")
TROUBLE = partial(
    Fault,
    line="no connection, a time limit, an answer that stalls or breaks off, 408, 409, 425, 5xx, an empty answer",
)

FAULTS = (
    FILTER(id="answer filtered", made=words("half", end="content_filter")),
    FILTER(id="question filtered", made=refusal(400, code="content_filter")),
    Fault(
        line="the model declined; its words are in `refusal`", id="declined", kinds=(OPENAI,),
        made=words("", refusal="I won't."), ends=Caught(code="REFUSED", names=("refusal",)),
    ),
    TOO_LONG(id="400 for a question too long",
             made=refusal(400, code="context_length_exceeded", said="input exceeds the context length")),
    TOO_LONG(id="413", made=refusal(413)),
    BUDGET(id="budget of a call", settings={
        "PROCOS_{KIND}_INPUT_PRICE": "1000", "PROCOS_{KIND}_OUTPUT_PRICE": "1000", "PROCOS_AI_BUDGET_CALL": "0.01",
    }),
    SHAPE(id="another shape twice", made=words('{"n": "seven"}')),
    SHAPE(id="no JSON twice", made=words("seven")),
    SHAPE(id="cut off by max_tokens", made=words('{"n": ', end="length")),
    INVALID(id="no question", given={}),
    INVALID(id="a question of blanks", given={"user_query": "  "}),
    INVALID(id="half of a surrogate pair", topic="text_generation", given={
        "messages": TypedValue(type="Json", value='[{"role": "user", "content": "\\ud800"}]')
    }),
    INVALID(id="a template's variable is missing", topic="text_generation", given={"template": "summarization"}),
    *(DENIED(id=str(status), made=refusal(status), ends=Incident(code="AUTH_FAILED", says="PROCOS_{KIND}_"))
      for status in (401, 403)),
    WRONG(id="no provider", kinds=(OPENAI,), given=QUERY | {"provider": "auto"}, ends=Incident(code="NO_PROVIDER"),
          settings={"PROCOS_OPENAI_API_KEY": "", "PROCOS_OLLAMA_URL": NOBODY}),
    WRONG(id="unknown provider", given=QUERY | {"provider": "gpt"}, ends=Incident(code="UNKNOWN_PROVIDER", says="gpt")),
    WRONG(id="not configured", kinds=(OPENAI,), settings={"PROCOS_OPENAI_API_KEY": ""},
          ends=Incident(code="PROVIDER_NOT_CONFIGURED", says="PROCOS_OPENAI_API_KEY")),
    WRONG(id="404 for a model", made=refusal(404), ends=Incident(code="MODEL_NOT_FOUND", says="PROCOS_{KIND}_MODEL")),
    WRONG(id="unknown template", topic="text_generation", given={"template": "nowhere"}, kinds=(OPENAI,),
          ends=Incident(code="UNKNOWN_TEMPLATE", says="nowhere")),
    WRONG(id="wrong schema", topic="text_extraction", given=EXTRACTION | {"json_schema": {"type": "number of legs"}},
          ends=Incident(code="SCHEMA_INVALID")),
    WRONG(id="schema that is no JSON", topic="text_extraction", given=EXTRACTION | {"json_schema": "{"},
          ends=Incident(code="SCHEMA_INVALID")),
    WRONG(id="quota", kinds=(OPENAI,), made=refusal(429, code="insufficient_quota"),
          ends=Incident(code="QUOTA_EXCEEDED")),
    WRONG(id="no answer of a model", made=lambda wire: wire.server.reply(b"<html>Welcome</html>"),
          ends=Incident(code="BAD_ANSWER", says="check PROCOS_{KIND}_")),
    WRONG(id="malformed JSON", made=lambda wire: wire.server.reply(b'{"choices": [{"mess'),
          ends=Incident(code="BAD_ANSWER")),
    WRONG(id="no word for want of tokens", made=words("", end="length"),
          ends=Incident(code="NO_ANSWER", says="max_tokens")),
    WRONG(id="400", made=refusal(400), ends=Incident(code="REQUEST_REFUSED", says="answered 400")),
    WRONG(id="a temperature out of range", given=QUERY | {"temperature": 1.5},
          made=refusal(400, said="temperature: Input should be less than or equal to 1"),
          ends=Incident(code="REQUEST_REFUSED", says="answered 400")),
    PATIENCE(id="429 with Retry-After", made=refusal(429, headers=SEVEN), ends=Postponed(after=timedelta(seconds=7))),
    PATIENCE(id="429 without Retry-After", made=refusal(429), ends=Postponed(after=DEFAULT_PATIENCE)),
    Fault(
        line="the limits of the provider are used up", id="limits", ends=Postponed(after=timedelta(seconds=40)),
        made=lambda wire: wire.refuses_once(Limits, "admit", RateLimited("full", retry_in=timedelta(seconds=40))),
    ),
    TROUBLE(id="no connection", settings={"PROCOS_OPENAI_BASE_URL": f"{NOBODY}/v1", "PROCOS_OLLAMA_URL": NOBODY},
            ends=Retried(code="PROVIDER_UNREACHABLE", lasts=True)),
    TROUBLE(id="a time limit", made=lambda wire: wire.hangs(), settings={"PROCOS_{KIND}_TIMEOUT": "0.1"},
            ends=Retried(code="PROVIDER_TIMED_OUT")),
    TROUBLE(id="stalls before its first word", made=lambda wire: wire.hangs(),
            settings={"PROCOS_{KIND}_FIRST_TOKEN_TIMEOUT": "0.1"}, ends=Retried(code="PROVIDER_STALLED")),
    TROUBLE(id="stalls in mid-answer", made=lambda wire: wire.hangs(after="4"),
            settings={"PROCOS_{KIND}_TOKEN_TIMEOUT": "0.1"}, ends=Retried(code="PROVIDER_STALLED")),
    TROUBLE(id="breaks off", made=words("4", end=None), ends=Retried(code="PROVIDER_BROKE_OFF")),
    *(TROUBLE(id=f"{status}", made=refusal(status), ends=Retried(code="TRY_AGAIN")) for status in (408, 409, 425)),
    *(TROUBLE(id=f"{status}", made=refusal(status), ends=Retried(code="PROVIDER_FAILED"))
      for status in (500, 502, 529)),
    TROUBLE(id="503 with Retry-After", made=refusal(503, headers=SEVEN),
            ends=Retried(code="PROVIDER_FAILED", after=timedelta(seconds=7))),
    TROUBLE(id="an empty answer", made=words(" "), ends=Retried(code="NO_ANSWER")),
    TROUBLE(id="a call of a tool nobody offered", kinds=(OPENAI,), ends=Retried(code="NO_ANSWER"),
            made=words("", tool_calls=[{"index": 0, "id": "c", "function": {"name": "add", "arguments": "{}"}}])),
    Fault(
        line="the provider has failed five times in a row", id="breaker",
        ends=Retried(code=UNAVAILABLE, after=timedelta(seconds=30)),
        made=lambda wire: wire.refuses_once(
            Breakers, "refuse_if_open", TransientError("away", code=UNAVAILABLE, retry_in=timedelta(seconds=30))
        ),
    ),
)  # fmt: skip
