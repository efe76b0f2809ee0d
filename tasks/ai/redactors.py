"""What strikes out personal data before a question leaves the house, and before anything of it is written to a log.

`PROCOS_AI_REDACTOR` names the redactor: `patterns` (`tasks.ai.personal_data`), or one of an installed package. A
package adds one by the entry point group `procos.redactors`: each entry names a function that takes a text and returns
the text to send. The settings refuse a name nobody has; where nothing is set nothing is struck out.

Those who ask a provider call `redacted` last of all, so that what was redacted is what is sent, counted and kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from procos.provider_sections import BUILT_IN_REDACTOR, REDACTORS
from tasks.ai.json_answer import is_deeper
from tasks.ai.model_text import cleaned
from tasks.ai.personal_data import without_personal_data

if TYPE_CHECKING:
    from procos.settings import AiSettings
    from tasks.ai.conversation import Message, Question

Redactor = Callable[[str], str]


def redactor(settings: AiSettings) -> Redactor:
    """Return the redactor the settings name.

    Raises:
        PermanentError: it cannot be loaded.
    """
    return _unchanged if settings.redactor is None else _named(settings.redactor)


def redacted(question: Question, redact: Redactor) -> Question:
    """Return the question with all that is said in it redacted.

    Raises:
        PermanentError: the redactor failed; nothing is sent then.
    """
    return replace(question, messages=tuple(_redacted_message(message, redact) for message in question.messages))


def redacted_text(text: str, redact: Redactor) -> str:
    """Return one text redacted, for logs and errors.

    Raises:
        PermanentError: the redactor failed.
    """
    try:
        found: object = redact(text)
    except Exception as error:  # noqa: BLE001  # a stranger's function; what it raises may quote the text
        raise _failed(f"raised {type(error).__name__}") from None
    if not isinstance(found, str):
        raise _failed(f"returned a {type(found).__name__}, expected a text")
    return found


def _redacted_message(message: Message, redact: Redactor) -> Message:
    calls = tuple(replace(call, arguments=_redacted_arguments(call.arguments, redact)) for call in message.tool_calls)
    return replace(message, content=redacted_text(message.content, redact), tool_calls=calls)


def _redacted_arguments(arguments: str, redact: Redactor) -> str:
    """Redact the values of a JSON object one by one, so that it stays one; a number struck out becomes a text.

    Halves of surrogate pairs, which only show once the text is read, are taken out: no request can hold them.
    """
    try:
        found: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return redacted_text(arguments, redact)
    if is_deeper(found):
        return redacted_text(arguments, redact)
    return cleaned(json.dumps(_redacted_value(found, redact), ensure_ascii=False))


def _redacted_value(value: object, redact: Redactor) -> object:
    match value:
        case str():
            return redacted_text(value, redact)
        case bool() | None:
            return value
        case int() | float():
            written = json.dumps(value)
            redacted = redacted_text(written, redact)
            return value if redacted == written else redacted
        case dict():
            return {redacted_text(name, redact): _redacted_value(inner, redact) for name, inner in value.items()}
        case list():
            return [_redacted_value(inner, redact) for inner in value]
    return value


@cache
def _named(name: str) -> Redactor:
    if name == BUILT_IN_REDACTOR:
        return without_personal_data
    entries = entry_points(group=REDACTORS, name=name)
    try:
        (entry,) = entries
        found: object = entry.load()
    except Exception as error:  # a stranger's module, or two packages with one name
        raise PermanentError(
            f"the redactor {name!r} of PROCOS_AI_REDACTOR cannot be loaded: {type(error).__name__}", code="REDACTOR"
        ) from error
    if not callable(found):
        raise PermanentError(f"the redactor {name!r} of PROCOS_AI_REDACTOR is no function", code="REDACTOR")
    return found


def _unchanged(text: str) -> str:
    return text


def _failed(reason: str) -> PermanentError:
    return PermanentError(f"the redactor of PROCOS_AI_REDACTOR {reason}; nothing was sent", code="REDACTOR")
