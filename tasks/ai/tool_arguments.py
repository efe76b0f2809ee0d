"""Reads the arguments of a tool call: as an object that a variable can carry, or as the text they are.

They are JSON text inside a message, so a NUL or half of a surrogate pair that this text escapes is only seen once it is
read. A model may also write what is no JSON, or deeper than a variable can be: then the text is handed on as it is.
Adapters, and what makes variables of a conversation, are the callers.
"""

from __future__ import annotations

from procos.domain.variables import DEEPEST
from tasks.ai.json_answer import Document, parsed
from tasks.ai.model_text import Cleaned, cleaned_value

LEVELS_AROUND = 4
"""A variable of messages has lists and objects around the arguments: messages, message, tool_calls, call."""


def read_arguments(text: str) -> Cleaned:
    """Return the object a text holds, else the text, either without characters that cannot be stored."""
    clean = cleaned_value(text)
    found = parsed(clean.value, deepest=DEEPEST - LEVELS_AROUND)
    if not isinstance(found, Document) or not isinstance(found.value, dict):
        return clean
    inner = cleaned_value(found.value)
    return Cleaned(value=inner.value, was_cleaned=clean.was_cleaned or inner.was_cleaned)
