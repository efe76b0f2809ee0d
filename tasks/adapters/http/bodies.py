"""What a request sends: bytes in memory, or blobs that pass in pieces, alone or as parts of a form."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from procos.blobs.reference import JSON, OCTETS, TEXT, BlobReference, is_reference, reference_in, safe_media_type
from procos.domain.errors import BusinessError, PermanentError, VariableError
from tasks.adapters.http.address import INVALID_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.adapters.http.request import HttpRequest
    from tasks.blobs import StepBlobs

CHUNK = 256 * 1024
MOST_PARTS = 1000
IN_NAME = {"\r": "%0D", "\n": "%0A", '"': "%22"}
"""How HTML's form submission writes what would end a name (HTML Living Standard, "multipart form data")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Content with its type and length; may be sent more than once."""

    media_type: str
    parts: Sequence[bytes | BlobReference]
    blobs: StepBlobs | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes, all in all."""
        return sum(each.size if isinstance(each, BlobReference) else len(each) for each in self.parts)

    def content(self) -> bytes | Iterator[bytes]:
        """Return it as it is sent: in one piece, or in pieces as they are read."""
        if not any(isinstance(each, BlobReference) for each in self.parts):
            return b"".join(each for each in self.parts if isinstance(each, bytes))
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        for each in self.parts:
            if isinstance(each, bytes):
                yield each
                continue
            with _store(self.blobs).open(each) as stream:
                while piece := stream.read(CHUNK):
                    yield piece


def body_of(request: HttpRequest, blobs: StepBlobs | None) -> Body | None:
    """Return what a request sends, None where it sends nothing.

    Raises:
        BusinessError: INVALID_INPUT, where `body` is not what `body_as` says.
        PermanentError, BlobsUnreachableError: a blob cannot be had.
    """
    value, form = request.body, request.body_as
    if value is None:
        return None
    if isinstance(value, BlobReference):
        if form is None:
            return Body(media_type=value.media_type, parts=[value], blobs=blobs)
        text = _store(blobs).text(value)
        value = text if form in {"json", "text"} else _json(text)
    match form:
        case "form":
            return Body(media_type="application/x-www-form-urlencoded", parts=[_form(value)])
        case "text":
            return Body(media_type=TEXT, parts=[_encoded(value)])
        case "multipart":
            return _multipart(value, blobs)
    return Body(media_type=JSON, parts=[_written(_json(value) if isinstance(value, str) else value)])


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("a text is JSON text here, and this is none; body_as = text sends it as it is") from None


def _written(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise _wrong("cannot be written as JSON") from None


def _form(value: Any) -> bytes:
    pairs = _object(value, "form").items()
    flat = [(name, each) for name, given in pairs for each in (given if isinstance(given, list) else [given])]
    return urlencode([(name, _scalar(each)) for name, each in flat if each is not None], errors="replace").encode()


def _multipart(value: Any, blobs: StepBlobs | None) -> Body:
    boundary = secrets.token_hex(16)
    parts: list[bytes | BlobReference] = []
    given = [
        (str(name), each)
        for name, entry in _object(value, "multipart").items()
        for each in (entry if isinstance(entry, list) else [entry])
    ]
    if len(given) > MOST_PARTS:
        raise _wrong(f"more than {MOST_PARTS} parts")
    for name, each in given:
        content, file_name, media_type = _part(name, each)
        parts += [_head(boundary, name, file_name, media_type), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(media_type=f"multipart/form-data; boundary={boundary}", parts=parts, blobs=blobs)


def _part(name: str, given: Any) -> tuple[bytes | BlobReference, str | None, str | None]:
    """Return content, file name and media type of a part: a value, a reference, or an object that names them."""
    if is_reference(given):
        reference = _reference(name, given)
        return reference, reference.name or "file", reference.media_type
    if not isinstance(given, dict):
        return _encoded(_scalar(given)), None, None
    if "content" not in given or not given.keys() <= {"content", "file_name", "media_type"}:
        raise _wrong(f"part {name[:40]!r}: expected a value, a file, or content, file_name and media_type")
    content, own_name, own_type = _part(name, given["content"])
    media_type = given.get("media_type")
    if media_type is not None and (not isinstance(media_type, str) or safe_media_type(media_type) != media_type):
        raise _wrong(f"part {name[:40]!r}: its media_type is none")
    file_name = given.get("file_name")
    return content, str(file_name) if file_name is not None else own_name, media_type or own_type


def _head(boundary: str, name: str, file_name: str | None, media_type: str | None) -> bytes:
    disposition = f'form-data; name="{_in_name(name)}"'
    if file_name is not None:
        disposition += f'; filename="{_in_name(file_name)}"'
        media_type = media_type or OCTETS
    lines = [f"--{boundary}", f"Content-Disposition: {disposition}"]
    if media_type:
        lines.append(f"Content-Type: {media_type}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode(errors="replace")


def _in_name(text: str) -> str:
    for sign, written in IN_NAME.items():
        text = text.replace(sign, written)
    return text


def _object(value: Any, form: str) -> dict[str, Any]:
    given = _json(value) if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise _wrong(f"expected an object of names and values for body_as = {form}")
    return given


def _scalar(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            with suppress(ValueError):  # of an integer with thousands of digits
                return str(value)
            raise _wrong("a number is too long")
    raise _wrong("lists and objects have no place inside a form's value")


def _encoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong("expected a text for body_as = text")
    return value.encode(errors="replace")


def _reference(name: str, given: Any) -> BlobReference:
    try:
        return reference_in(name, given)
    except VariableError as error:
        raise _wrong(f"part {name[:40]!r}: {error.reason}") from None


def _store(blobs: StepBlobs | None) -> StepBlobs:
    if blobs is None:
        raise PermanentError("a body that is a file needs a step with a blob store", code="BLOBS_UNSET")
    return blobs


def _wrong(reason: str) -> BusinessError:
    return BusinessError(INVALID_INPUT, f"body: {reason}")
