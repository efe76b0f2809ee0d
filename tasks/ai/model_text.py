"""Text that comes from outside made fit to be stored: what databases and terminals choke on is taken out.

A model may emit NUL (which PostgreSQL refuses), other control characters, or half of a surrogate pair (which no
encoder takes). Line breaks and tabs stay.
"""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def cleaned(text: str) -> str:
    """Return the text without control characters and lone surrogates, and with plain line feeds."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def excerpt(text: str, *, secret: str = "", length: int = 200) -> str:
    """Return the text on one line, cut, and with a secret it may repeat struck out."""
    if secret:
        text = text.replace(secret, "***")
    line = " ".join(cleaned(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"
