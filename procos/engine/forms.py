"""A form as browsers send one with files in it: multipart/form-data, in which a deployment reaches the engine.

Source: RFC 7578; names are written as the HTML standard has it, "Multipart form data": UTF-8, and of what would end a
name or its line the percent-encoding.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> tuple[bytes, str]:
    """Write a form and the content type that goes with it; a file is its name, its content and its media type."""
    boundary = secrets.token_hex(16)  # 128 bits that nobody can have put into a file
    parts = [_part(boundary, f'name="{_name(name)}"', value.encode()) for name, value in fields.items()]
    for name, (file_name, content, media_type) in files.items():
        said = f'name="{_name(name)}"; filename="{_name(file_name)}"\r\nContent-Type: {media_type}'
        parts.append(_part(boundary, said, content))
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, said: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {said}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def _name(text: str) -> str:
    return text.translate(ESCAPES)
