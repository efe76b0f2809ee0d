"""Topic `code_analysis`: looks code through, and says what it found, where, and how bad it is.

The model is shown numbered lines and answers in a schema; what it says of lines that do not exist is dropped and
counted (`tasks.ai.code_findings`). Running it twice is harmless, as with `ai_query`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from tasks.ai.asking import ask
from tasks.ai.code_findings import MOST_FINDINGS, SEVERITIES, findings_schema, language_of, numbered, verified
from tasks.ai.fields import Answered, Asking, answered, wish_of
from tasks.ai.prompts.library import library
from tasks.ai.prompts.rendering import filled
from tasks.ai.sendable import Text, Words
from tasks.task import TaskContext, process_task

TEMPLATE = "code_analysis"
NONE = "none"
MOST_RULES = 50

Rule = Annotated[Words, StringConstraints(min_length=1, max_length=500)]


class CodeAnalysisInput(Asking):
    """The code, what it is written in, and what to look for."""

    code: Text
    language: Words | None = Field(None, max_length=50, description="guessed where it is not given")
    file_name: Words | None = Field(None, max_length=1000, description="helps to guess the language")
    max_findings: int = Field(MOST_FINDINGS, ge=1, le=MOST_FINDINGS)
    rules: list[Rule] = Field(default_factory=list, max_length=MOST_RULES)
    temperature: float = Field(0.0, ge=0, le=2)


class CodeAnalysisOutput(Answered):
    """The findings, by line; each has `line`, `severity`, `rule` and `message`."""

    findings: list[dict[str, Any]]
    summary: str
    worst_severity: str = Field(description="none, info, warning, error or critical")
    findings_dropped: int = Field(description="findings about lines that do not exist")
    language: str
    template_version: str


@process_task(topic="code_analysis")
def code_analysis(wanted: CodeAnalysisInput, context: TaskContext) -> CodeAnalysisOutput:
    """Analyse code.

    Raises:
        TaskError: VALIDATION_FAILED where the model does not keep to the schema; or as with every question.
        StepCancelled: nobody waits for it any more.
    """
    language = language_of(hint=wanted.language or "", name=wanted.file_name or "", code=wanted.code)
    variables = {"code": numbered(wanted.code), "language": language or None, "rules": wanted.rules or None}
    prompt = filled(
        library(context.settings.ai).template(TEMPLATE),
        variables,
        key=context.idempotency_key,
        within=context.remaining(),
    )
    reply = ask(wish_of(wanted, prompt.messages, json_schema=findings_schema(wanted.max_findings)), context)
    found = verified(reply.value["findings"], wanted.code)
    worst = max((finding["severity"] for finding in found.findings), key=SEVERITIES.index, default=NONE)
    return CodeAnalysisOutput(
        findings=[dict(finding) for finding in found.findings],
        summary=reply.value["summary"],
        worst_severity=worst,
        findings_dropped=found.dropped,
        language=language,
        template_version=prompt.template_version,
        **answered(reply),
    )
