"""Strikes secrets out of texts and values: as they are, and in the forms in which they usually travel.

A secret that is quoted in an error, a result or a log line is seldom quoted as it is: an address has it quoted for
URLs, a header in base64 with something before it, a log line escaped for JSON. So each value is known in all these
forms. What is encoded twice otherwise, cut into pieces or hashed is not recognised.

`procos.logs` keeps one `Redaction` for everything a process says, `tasks.context` one for each run of a task.
"""

from __future__ import annotations

import html
import json
import re
import threading
from base64 import b64encode
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STRUCK = "***"
SHORTEST = 4
"""Characters; what is shorter would strike out half of every text."""
SHORTEST_LINE = 16
"""Characters of a line of a longer secret, such as a key in PEM, that is struck out alone."""
SHORTEST_CORE = 6
"""Characters that base64 makes of a secret in the middle of something; fewer may stand anywhere by chance."""
URL_SAFE = ("", "/", "!#$&'()*+,/:;=?@[]~", "!#$%&'()*+,/:;=?@[]~")
"""What the usual ways to quote an address leave as it is: for one part of it, a path, and an address as a whole."""
QUOTES_IN_HTML = (("'", '"'), ("'", "&quot;"), ("&#x27;", "&quot;"), ("&#39;", "&#34;"), ("&apos;", "&quot;"))
"""How single and double quotes are written; libraries do not agree."""
HIDDEN_BY_SHIFT = (0, 2, 3)
"""Characters of base64 that bytes before the secret have a part in, by their number modulo three."""
TO_URL_SAFE = str.maketrans("+/", "-_")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Redaction:
    """Values to strike out; may be shared by threads. While it knows none, it costs nothing."""

    def __init__(self, *, most: int | None = None) -> None:
        """Know at most so many values, the oldest of which is forgotten first; None is no limit."""
        self._most = most
        self._lock = threading.Lock()
        self._known: Mapping[str, frozenset[str]] = {}
        self._forms: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, value: str) -> None:
        """Strike out this value from now on; one of fewer than `SHORTEST` characters is ignored."""
        if value in self._known or len(value) < SHORTEST:
            return
        with self._lock:
            all_known = [*self._known.items(), (value, encoded_forms(value))]
            known = dict(all_known[-self._most :] if self._most else all_known)
            # The longest first, so that nothing of a longer one is left where a shorter one is a part of it.
            self._forms = tuple(sorted(frozenset[str]().union(*known.values()), key=len, reverse=True))
            self._known = known  # last: whoever finds a value here may rely on its forms

    def strike(self, text: str) -> str:
        """Return a text without the values."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, STRUCK)
        return text

    def strike_in(self, value: object) -> object:
        """Return what may become a variable without the values: in texts, in keys, and in numbers that are one."""
        match value:
            case str():
                return self.strike(value)
            case dict():
                return self._strike_in_mapping(value)
            case list() | tuple():
                return [self.strike_in(item) for item in value]
            case int() | float() | Decimal() | UUID() if str(value) in self._known:
                return STRUCK
        return value

    def _strike_in_mapping(self, value: Mapping[object, object]) -> dict[object, object]:
        struck: dict[object, object] = {}
        for key, inner in value.items():
            name = self.strike(key) if isinstance(key, str) else key
            while name in struck:  # two keys that differed in nothing else
                name = f"{name}*"
            struck[name] = self.strike_in(inner)
        return struck


def encoded_forms(value: str) -> frozenset[str]:
    """Return a secret in every form in which it is recognised."""
    plain = {value, *_lines(value)}
    forms = {*plain, *_url_quoted(value), *_html_escaped(value), *_base64(value)}
    forms |= {form for text in plain for form in _escaped(text)}
    # Once more, since a log line is JSON, or for people, and may quote what was escaped already.
    forms |= {again for form in forms for again in (json.dumps(form)[1:-1], form.replace("\\", "\\\\"))}
    return frozenset(form for form in forms if len(form) >= SHORTEST)


def _lines(value: str) -> Iterator[str]:
    lines = [line.strip() for line in value.splitlines()]
    return (line for line in lines if len(line) >= SHORTEST_LINE)


def _url_quoted(value: str) -> Iterator[str]:
    for raw in _as_bytes(value):
        for quoted in (quote_plus(raw), *(quote(raw, safe=safe) for safe in URL_SAFE)):
            yield quoted
            yield _ESCAPE.sub(lambda escape: escape[0].lower(), quoted)


def _html_escaped(value: str) -> Iterator[str]:
    bare = html.escape(value, quote=False)
    for single, double in QUOTES_IN_HTML:
        text = bare.replace("'", single).replace('"', double)
        yield text
        yield text.encode("ascii", "xmlcharrefreplace").decode()


def _escaped(text: str) -> Iterator[str]:
    """Write a text as JSON and Python do inside quotes."""
    for inner in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield inner
        yield inner.replace("/", "\\/")
    for write in (repr, ascii, _repr_of_bytes):
        inner = "".join(char if char in "'\"" else write(char)[1:-1] for char in text)
        yield inner
        yield inner.replace("'", "\\'")


def _repr_of_bytes(char: str) -> str:
    return repr(char.encode(errors="replace"))[1:]


def _base64(value: str) -> Iterator[str]:
    """Write a secret in base64: alone, and what of it is the same whatever stands before and behind it."""
    for raw in _as_bytes(value):
        whole = b64encode(raw).decode()
        for text in (whole, whole.rstrip("="), *_cores(raw)):
            yield text
            yield text.translate(TO_URL_SAFE)


def _cores(raw: bytes) -> Iterator[str]:
    for shift, hidden in enumerate(HIDDEN_BY_SHIFT):
        certain = 8 * (shift + len(raw)) // 6
        core = b64encode(bytes(shift) + raw).decode()[hidden:certain]
        if len(core) >= SHORTEST_CORE:
            yield core


def _as_bytes(value: str) -> Iterator[bytes]:
    """Encode a text as libraries do: in UTF-8, and for some headers in Latin-1."""
    yield value.encode(errors="replace")
    with suppress(UnicodeEncodeError):
        yield value.encode("latin-1")
