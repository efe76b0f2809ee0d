"""Answers of a shape: reads the JSON value a model was asked for, and says what is wrong with it.

The topics call, in this order:

- `schema_from` before anything is paid: a wrong schema is the model author's mistake, and costs nothing then;
- `read_structured` with each answer;
- `repair_question`, once, where that has found problems: the model is told what is wrong with its answer;
- `unfit` where the second answer is wrong too: a BPMN error with every problem.

An answer that was cut off is not repaired, since the next one would be cut off again: `read_structured` raises at once.
Providers that take no JSON Schema of their own are told it in words by `with_schema_told`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, PermanentError
from tasks.ai.conversation import FinishReason, Message, Role
from tasks.ai.json_answer import EITHER, Flaw, document_in, parsed
from tasks.ai.model_text import cleaned_value, excerpt
from tasks.ai.sendable import unsendable
from tasks.generic.json_schema import check_schema, message_of, problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.ai.conversation import Answer, Question

LARGEST_SCHEMA = 65_536
"""Characters of a schema, as JSON; it travels with every request."""
LONGEST_PROBLEM = 300
CUT_OFF = "the answer was cut off by max_tokens: allow more, or ask for less"
OPENINGS = {"object": "{", "array": "["}
REPAIR = (
    "Your answer does not fit the JSON Schema you were given:\n{problems}\n"
    "Answer again with the whole corrected JSON document and nothing else. Change only what is wrong."
)
INSTRUCTION = (
    "Answer with one JSON document and nothing else: no words before or after it, no Markdown."
    " It must be valid under this JSON Schema:\n{schema}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read from an answer: the value, or, where there are problems, as much of it as could be read."""

    value: Any = None
    was_cleaned: bool = False
    problems: tuple[str, ...] = ()


def schema_from(given: object) -> dict[str, Any]:
    """Return the JSON Schema a step was given, as an object or as JSON text.

    Raises:
        PermanentError: it is no JSON Schema, is too large, cannot be sent, or refers to another document.
    """
    if isinstance(given, str):
        found = parsed(given) if len(given) <= LARGEST_SCHEMA else Flaw(reason=_too_large())
        if isinstance(found, Flaw):
            raise _wrong_schema(found.reason)
        given = found.value
    if not isinstance(given, dict):
        raise _wrong_schema(f"is a {type(given).__name__}, expected an object")
    try:
        size = len(json.dumps(given))
    except (TypeError, ValueError, RecursionError):
        raise _wrong_schema("holds what JSON cannot") from None
    if size > LARGEST_SCHEMA:
        raise _wrong_schema(_too_large())
    if reason := unsendable(given):
        raise _wrong_schema(reason)
    check_schema(given)
    return given


def read_structured(answer: Answer, schema: Mapping[str, Any]) -> Reading:
    """Read the JSON value of an answer, clean it, and check it.

    Raises:
        BusinessError: VALIDATION_FAILED, where the answer was cut off.
        PermanentError: the schema is wrong.
    """
    if answer.finish_reason is FinishReason.LENGTH:
        raise unfit([CUT_OFF])
    found = document_in(answer.text, opening=OPENINGS.get(str(schema.get("type")), EITHER))
    if isinstance(found, Flaw):
        return Reading(problems=(f"the answer {found.reason}",), was_cleaned=answer.was_cleaned)
    clean = cleaned_value(found.value)
    wrong = problems(schema, clean.value)
    return Reading(
        value=clean.value,
        was_cleaned=answer.was_cleaned or clean.was_cleaned,
        problems=tuple(excerpt(str(problem), length=LONGEST_PROBLEM) for problem in wrong),
    )


def repair_messages(answer: Answer, found: Sequence[str]) -> tuple[Message, ...]:
    """Return what is said after an answer that does not fit: the answer itself, and what is wrong with it."""
    listed = "\n".join(f"- {problem}" for problem in found)
    return (
        Message(role=Role.ASSISTANT, content=answer.text),
        Message(role=Role.USER, content=REPAIR.format(problems=listed)),
    )


def repair_question(question: Question, answer: Answer, found: Sequence[str]) -> Question:
    """Return the question that asks for a corrected answer; its idempotency key is one of its own.

    A provider that knows such keys would else give the first answer again.
    """
    key = f"{question.idempotency_key}-repair" if question.idempotency_key else ""
    return replace(question, messages=question.messages + repair_messages(answer, found), idempotency_key=key)


def unfit(found: Sequence[str]) -> BusinessError:
    """Return the error that ends a step whose answer does not fit; the problems are in its variables, whole."""
    return BusinessError("VALIDATION_FAILED", message_of(found), variables={"validation_errors": list(found)})


def schema_instruction(schema: Mapping[str, Any]) -> str:
    """Return the words that ask for an answer of this schema."""
    return INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False))


def with_schema_told(question: Question) -> Question:
    """Return the question with its schema in the system message, for providers that take none beside it."""
    if question.json_schema is None:
        return question
    told = schema_instruction(question.json_schema)
    first, *others = question.messages
    if first.role is Role.SYSTEM:
        messages = (replace(first, content=f"{first.content}\n\n{told}"), *others)
    else:
        messages = (Message(role=Role.SYSTEM, content=told), *question.messages)
    return replace(question, messages=messages, json_schema=None)


def _wrong_schema(reason: str) -> PermanentError:
    return PermanentError(f"the JSON Schema of this step {reason}", code="SCHEMA_INVALID")


def _too_large() -> str:
    return f"is larger than {LARGEST_SCHEMA} characters"
