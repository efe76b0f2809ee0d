"""What an answer becomes: JSON, a text, a blob, or nothing; and its headers as a variable may hold them."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from procos.blobs.reference import CHARSET, OCTETS, safe_media_type
from procos.domain.errors import BusinessError, PermanentError, TransientError
from procos.domain.variables import DEEPEST
from tasks.adapters.http.reading import RESPONSE_TOO_LARGE
from tasks.adapters.http.transport import RESPONSE_INVALID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.blobs import StepBlobs

LARGEST_IN_MEMORY = 4 * 1024 * 1024
"""Bytes of an answer of which nobody said what it becomes, beyond which it goes to the blob store."""
LARGEST_ERROR = 64 * 1024
"""Bytes of the answer that travel with a BPMN error."""
MOST_ITEMS = 1_000_000
"""Members and items of JSON; each costs some 60 bytes of memory or more, however short it is written."""
TEXTS = ("text/",)
TEXT_KINDS = {"application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml"}
JSON_KINDS = {"application/json", "application/problem+json", "text/json"}
STRUCK_HEADERS = {"set-cookie", "set-cookie2"}
STRUCK = "***"
_HALF_SIGN = re.compile("[\ud800-\udfff]")


def kind_of(media_type: str) -> str:
    """Return `json`, `text` or `blob` for a media type."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind in JSON_KINDS or kind.endswith("+json"):
        return "json"
    if kind.startswith(TEXTS) or kind in TEXT_KINDS or kind.endswith("+xml"):
        return "text"
    return "blob"


def headers_of(headers: Any) -> dict[str, str]:
    """Return headers by their names in small letters; those that come more than once are joined."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = _clean(name.lower())
        text = STRUCK if key in STRUCK_HEADERS else _clean(value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def text_in(content: bytes, media_type: str, place: str) -> str:
    """Return content as text.

    Raises:
        BusinessError: RESPONSE_INVALID, where it is none in the encoding it says, or in UTF-8.
    """
    found = CHARSET.search(media_type)
    try:
        text = content.decode(found[1] if found else "utf-8")
    except (LookupError, ValueError):
        raise _invalid(place, "is no text in the encoding it says") from None
    if "\0" in text:
        raise _invalid(place, "is a text with U+0000 in it, which no variable can hold")
    return text.removeprefix("\ufeff")


def json_in(content: bytes, place: str) -> Any:
    """Return content as JSON.

    Raises:
        BusinessError: RESPONSE_INVALID, where it is none, too deep, or has a number or text no variable can hold;
            RESPONSE_TOO_LARGE, where it has too many items.
    """
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MOST_ITEMS:
        raise BusinessError(RESPONSE_TOO_LARGE, f"{place}: the answer is JSON of more than {MOST_ITEMS} items")
    try:
        value = json.loads(content, parse_constant=_no_number)
        is_fine = _is_storable(value, DEEPEST - 1)  # it may be put into an object, as resultVariable does
    except (ValueError, RecursionError):
        raise _invalid(place, "is no JSON") from None
    if not is_fine:
        raise _invalid(place, f"is JSON deeper than {DEEPEST - 1} levels, or or holds what no variable can")
    return value


def excerpt(stream: Iterator[bytes], media_type: str, place: str) -> Any:
    """Return the beginning of the answer to a request that failed, for who wants to know why: JSON, text or null."""
    whole, is_cut = bytearray(), False
    try:
        for piece in stream:
            whole += piece
            if len(whole) > LARGEST_ERROR:
                is_cut = True
                break
    except (BusinessError, PermanentError, TransientError):
        is_cut = True  # the status says what matters
    content = bytes(whole[:LARGEST_ERROR])
    kind = kind_of(media_type)
    if not content or kind == "blob":
        return None
    if kind == "json" and not is_cut:
        try:
            return json_in(content, place)
        except BusinessError:
            pass
    return _clean(content.decode("utf-8", errors="replace"), keep="\n\r\t")


def whole(stream: Iterator[bytes]) -> bytes:
    """Return what comes, in one piece."""
    first = next(stream, b"")
    return b"".join([first, *stream])


def kept(stream: Iterator[bytes], blobs: StepBlobs | None, media_type: str, name: str | None) -> dict[str, object]:
    """Put what comes into the blob store, and return the reference to it.

    Raises:
        PermanentError: BLOBS_UNSET, or BLOB_TOO_LARGE.
    """
    if blobs is None:
        raise PermanentError("an answer that becomes a blob needs a step with a blob store", code="BLOBS_UNSET")
    return blobs.put(stream, media_type=safe_media_type(media_type or OCTETS), name=name).to_json()


def parted(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """Return content that is small, or its beginning and all of it as a stream."""
    begun: list[bytes] = []
    size = 0
    for piece in stream:
        begun.append(piece)
        size += len(piece)
        if size > LARGEST_IN_MEMORY:
            return b"", chain(begun, stream)
    return b"".join(begun), None


def name_in(headers: Mapping[str, str], path: str) -> str | None:
    """Return what a download is called: as its header says, else the last part of its path."""
    disposition = headers.get("content-disposition", "")
    for part in disposition.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "filename" and value.strip('" '):
            return value.strip('" ')
    return path.rpartition("/")[2] or None


def _is_storable(value: Any, levels: int) -> bool:
    match value:
        case str():
            return _has_whole_signs(value)
        case dict():
            return levels > 0 and all(_is_storable(k, 1) and _is_storable(v, levels - 1) for k, v in value.items())
        case list():
            return levels > 0 and all(_is_storable(each, levels - 1) for each in value)
        case float():
            return value - value == 0  # neither infinite nor no number: 1e999 is read as infinite
    return True


def _has_whole_signs(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not _HALF_SIGN.search(text))


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _clean(text: str, keep: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else "\ufffd" for each in text)


def _invalid(place: str, what: str) -> BusinessError:
    return BusinessError(RESPONSE_INVALID, f"{place}: the answer {what}")
