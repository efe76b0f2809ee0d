"""The sections of the settings that AI tasks read: providers, and what holds for all of them.

`PROCOS_OPENAI_…` and `PROCOS_OLLAMA_…` describe the two built-in providers, `PROCOS_PROVIDERS__<NAME>__…` further ones
of any kind. `procos.settings` makes a tree of them.
"""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Json, SecretStr

from procos.domain.addresses import web_address
from procos.setting_sections import Names, Section, printable

REDACTORS = "procos.redactors"
"""The entry point group by which packages add redactors."""
BUILT_IN_REDACTOR = "patterns"


def _known_redactor(name: str) -> str:
    """Refuse a redactor nobody has, before a question could be meant to pass it."""
    known = sorted({BUILT_IN_REDACTOR, *entry_points(group=REDACTORS).names})
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"no redactor {name!r} is installed; known: {', '.join(known)}{hint}")


Key = Annotated[SecretStr, AfterValidator(printable)]
Address = Annotated[str, AfterValidator(web_address)]
Dollars = Annotated[float, Field(gt=0)]


class ProviderSection(Section):
    """What is known of any provider: its times, its limits, its size and its price."""

    timeout: float = Field(60.0, gt=0, description="Seconds one request may take.")
    first_token_timeout: float = Field(60.0, gt=0, description="Seconds until the first piece of an answer.")
    token_timeout: float = Field(20.0, gt=0, description="Seconds between two pieces of an answer.")
    health_timeout: float = Field(5.0, gt=0, description="Seconds its health check may take.")
    requests_per_minute: int | None = Field(None, ge=1, description="Over all workers.")
    tokens_per_minute: int | None = Field(None, ge=1, description="Over all workers, questions and answers together.")
    at_once: int | None = Field(None, ge=1, description="Requests at once, over all workers.")
    context_window: int | None = Field(None, ge=256, description="Tokens of question and answer together.")
    input_price: float | None = Field(None, ge=0, description="US dollars for a million tokens of questions.")
    output_price: float | None = Field(None, ge=0, description="US dollars for a million tokens of answers.")
    json_schema: bool = Field(True, description="Whether it takes a JSON Schema for its answer.")
    tools: bool = Field(True, description="Whether it may be offered tools.")


class OpenaiSettings(ProviderSection):
    """Any OpenAI-compatible server."""

    api_key: Key | None = None
    base_url: Address = "https://api.openai.com/v1"
    model: str = "gpt-4o-mini"


class OllamaSettings(ProviderSection):
    """An Ollama server; not used unless its address is set."""

    url: Address | None = None
    model: str = "llama3.2"
    timeout: float = Field(120.0, gt=0, description="Seconds one request may take.")
    first_token_timeout: float = Field(120.0, gt=0, description="Seconds until the first piece; it may load the model.")
    context_window: int | None = Field(8192, ge=256, description="Tokens it is told to make room for (`num_ctx`).")


class ProviderSettings(ProviderSection):
    """A further provider, by a name of its own."""

    kind: str = Field("openai", description="openai, ollama, or what an installed package adds.")
    url: Address
    api_key: Key | None = None
    model: str
    options: Json[dict[str, Any]] | None = Field(None, description="What its kind may be told beside that, as JSON.")


class AiSettings(Section):
    """What holds for all providers."""

    fallback: Names = Field((), description="Providers to ask where the chosen one cannot answer, in this order.")
    policy: Path | None = Field(None, description="File of a policy table, instead of the rule of the guide.")
    templates: Path | None = Field(None, description="Folder of prompt templates, beside those that are shipped.")
    budget_call: Dollars | None = Field(None, description="US dollars one request may cost.")
    budget_instance: Dollars | None = Field(None, description="US dollars the requests of an instance may cost.")
    budget_day: Dollars | None = Field(None, description="US dollars all requests of a day (UTC) may cost.")
    unknown_price: Literal["allow", "refuse"] = Field(
        "refuse", description="What a budget says of a model whose price is not known."
    )
    answers_kept: float = Field(86400.0, ge=60, description="Seconds a paid answer is kept for its step.")
    redactor: Annotated[str, AfterValidator(_known_redactor)] | None = Field(
        None, description="What strikes out personal data before it is sent."
    )
