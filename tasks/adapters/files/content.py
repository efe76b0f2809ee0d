"""What becomes of bytes on their way: text or JSON as a variable carries it, or a blob; and back.

Left to itself, a file becomes text (or JSON, by its ending) if it is small and is text, else a blob. Encodings are
those of a short list: among the codecs of Python some are no encodings of texts, and some take quadratic time.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from procos.blobs import BlobReference
from procos.domain.errors import BusinessError, PermanentError, VariableError
from procos.domain.variables import to_engine
from tasks.adapters.adapter import INVALID_INPUT
from tasks.adapters.files.faults import TOO_LARGE, check_time
from tasks.adapters.files.root import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tasks.adapters.adapter import Call
    from tasks.blobs import StepBlobs

CONTENT_INVALID = "CONTENT_INVALID"
LARGEST_TEXT = 256 * 1024
"""Bytes up to which a file becomes text or JSON of its own accord: what a variable holds, see PROCOS_BLOBS_ABOVE."""
LARGEST_VALUE = 4 * 1024 * 1024
"""Bytes of a text or JSON that is asked for; half of what a message carries, since some signs grow in JSON."""
OCTETS = "application/octet-stream"
TEXTS = {OCTETS, "application/json", "application/xml", "application/javascript", "application/x-sh", "image/svg+xml"}
"""Kinds that may be text, beside `text/…` and `…+json`; OCTETS stands for endings nobody knows."""

Encoding = Literal["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "iso-8859-15", "windows-1252", "us-ascii"]
ReadAs = Literal["auto", "text", "json", "blob"]


class Measured:
    """Pieces as they pass, with their size and hash; stops where they are too many, or the time is over."""

    def __init__(self, pieces: Iterable[bytes], *, largest: int, call: Call) -> None:
        self._pieces, self._largest, self._call = pieces, largest, call
        self._digest, self.size = hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        """The hash of what has passed."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            if self.size > self._largest:
                raise too_large(self._largest)
            check_time(self._call, "all bytes had passed")
            self._digest.update(piece)
            yield piece


def too_large(largest: int) -> BusinessError:
    """Return the error for content beyond a limit."""
    return BusinessError(TOO_LARGE, f"content: has more than {largest} bytes")


def media_type_of(name: str) -> str:
    """Return what kind of content a name promises, the same on every host."""
    return MimeTypes().guess_type(name)[0] or OCTETS


def written(content: str | BlobReference | None, value: object, encoding: Encoding, blobs: StepBlobs | None) -> Any:
    """Return what a step wants to write, as pieces.

    Raises:
        BusinessError: INVALID_INPUT, where it is not one thing, or has signs the encoding lacks.
        PermanentError: BLOB_MISSING, or BLOBS_UNSET.
    """
    if (content is None) == (value is None):
        raise BusinessError(INVALID_INPUT, "content, json: expected one of the two")
    if isinstance(content, BlobReference):
        return _pieces(_store(blobs), content)
    try:
        text = content if content is not None else json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
        encoded = text.encode(encoding)
    except UnicodeEncodeError:
        raise BusinessError(INVALID_INPUT, f"content: has characters that {encoding} lacks") from None
    except (ValueError, TypeError, RecursionError):
        raise BusinessError(INVALID_INPUT, "json: is no value JSON can hold") from None
    return (encoded[start : start + CHUNK] for start in range(0, len(encoded), CHUNK))


def kept(
    pieces: Iterator[bytes], name: str, wanted: ReadAs, encoding: Encoding, blobs: StepBlobs | None
) -> tuple[object, str]:
    """Return what becomes of a file's bytes, with its media type; all of them have passed then.

    Raises:
        BusinessError: CONTENT_INVALID, or TOO_LARGE for what is asked for.
        PermanentError: BLOB_TOO_LARGE, or BLOBS_UNSET.
    """
    media_type = media_type_of(name)
    limit = {"auto": LARGEST_TEXT if _may_be_text(media_type) else 0, "blob": 0}.get(wanted, LARGEST_VALUE)
    head: list[bytes] = []
    size = 0
    for piece in pieces if limit else ():
        head.append(piece)
        size += len(piece)
        if size > limit:
            break
    if limit and size <= limit:
        whole = b"".join(head)
        if wanted != "auto":
            return _value(whole, wanted, encoding), media_type
        for kind in ("json", "text") if _is_json(media_type) else ("text",):
            try:
                return _value(whole, kind, encoding), media_type
            except BusinessError:
                continue
    elif wanted in {"text", "json"}:
        raise too_large(LARGEST_VALUE)
    charset = f"; charset={encoding}" if media_type.startswith("text/") else ""
    reference = _store(blobs).put(chain(head, pieces), media_type=media_type + charset, name=name)
    return reference.to_json(), media_type


def _value(content: bytes, kind: str, encoding: Encoding) -> object:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise BusinessError(CONTENT_INVALID, f"the file is no text in {encoding}") from None
    value: object = text
    if kind == "json":
        try:
            value = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise BusinessError(CONTENT_INVALID, "the file is no JSON") from None
    try:
        to_engine("content", value)
    except (VariableError, RecursionError):
        text = "the file has what no variable can hold, such as the character U+0000; read it as a blob"
        raise BusinessError(CONTENT_INVALID, text) from None
    return value


def _pieces(blobs: StepBlobs, reference: BlobReference) -> Iterator[bytes]:
    with blobs.open(reference) as stream:
        while piece := stream.read(CHUNK):
            yield piece


def _store(blobs: StepBlobs | None) -> StepBlobs:
    if blobs is None:
        raise PermanentError("no step, and so no store of blobs", code="BLOBS_UNSET")
    return blobs


def _may_be_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in TEXTS or _is_json(media_type)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _no_number(constant: str) -> NoReturn:
    raise ValueError(constant)
