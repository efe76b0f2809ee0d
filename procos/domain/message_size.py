"""How large variables are in a message: JSON, in which all that is not ASCII is escaped.

A Cyrillic letter, two bytes at the engine, becomes six. Brokers refuse a message that is too large, and close the
channel over it, so what might be is measured as it travels, whatever a setting says of bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from procos.domain.errors import VariableError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_MESSAGE = 15 * 1024 * 1024
"""Bytes of the variables of one; RabbitMQ 4 refuses messages over 16 MiB."""
MOST_OF_A_BYTE = 6
"""Bytes that one of UTF-8 can become."""


def may_be_too_large(size: int) -> bool:
    """Whether so many bytes of text might not fit a message."""
    return size * MOST_OF_A_BYTE > LARGEST_MESSAGE


def travelling_size(value: object) -> int:
    """Return the bytes of a value in a message."""
    return len(json.dumps(value, default=str))


def too_large(sizes: Mapping[str, int], unit: str, limit: str, cure: str = "") -> VariableError:
    """Return the error for variables of these sizes, which names the largest, and the cure where there is one."""
    name, total = max(sizes, key=lambda name: sizes[name]), sum(sizes.values())
    text = f"{sizes[name]} {unit}, {total} with the others; {limit}"
    return VariableError(name, f"{text}; {cure}" if cure else text)
