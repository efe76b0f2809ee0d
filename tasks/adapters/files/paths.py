"""Paths as steps give them: relative, of plain names with `/` between them. Anything else is refused, never mended.

What a path is for one system is something else for another: a drive, a device, a stream, an encoded dot. So names are
held to what every system takes for a name, whatever the root is; and so is the form that Unicode calls compatible
(NFKC, Unicode Standard Annex 15), in which a full-width full stop is a full stop. A path is used as it was given:
nothing is decoded, folded or expanded.
"""

from __future__ import annotations

import re
import unicodedata

from procos.domain.errors import BusinessError

PATH_DENIED = "PATH_DENIED"
LONGEST_PATH = 1024
"""Characters; what object stores take as a key (Amazon S3: 1,024 bytes of UTF-8)."""
LONGEST_NAME = 255
"""Bytes of UTF-8: NAME_MAX of Linux."""
MOST_PARTS = 32
SPECIAL = frozenset('\\:*?"<>|')
"""Separators, drives, streams and wildcards of one system or another (Microsoft: Naming Files, Paths, Namespaces)."""
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(\..*)?", re.IGNORECASE | re.ASCII)
"""Names that are devices on Windows, in every folder and with every ending."""


def parts_of(path: str, *, hidden: bool = False, field: str = "path") -> tuple[str, ...]:
    """Return the names a path is made of; the text that is no path is not repeated.

    Args:
        path: what a step has given.
        hidden: whether names may begin with a full stop.
        field: what an error calls it.

    Raises:
        BusinessError: PATH_DENIED, with the rule it breaks.
    """
    if not path:
        raise denied("is empty", field=field)
    if len(path) > LONGEST_PATH:
        raise denied(f"has more than {LONGEST_PATH} characters", field=field)
    if path.startswith("/"):
        raise denied("is absolute; it begins at the root of the connection, without a /", field=field)
    parts = tuple(path.split("/"))
    if len(parts) > MOST_PARTS:
        raise denied(f"has more than {MOST_PARTS} parts", field=field)
    for part in parts:
        if fault := fault_of(part, hidden=hidden):
            raise denied(fault, field=field)
    return parts


def fault_of(name: str, *, hidden: bool = False) -> str | None:
    """Say which rule a name breaks, if any."""
    if fault := _fault(name):
        return fault
    if not hidden and name.startswith("."):
        return "has a part that begins with a full stop; the connection does not have `hidden`"
    compatible = unicodedata.normalize("NFKC", name)
    if compatible != name and _fault(compatible):
        return "has a part that some systems take for another one: it has signs that stand for dots or separators"
    return None


def denied(reason: str, *, field: str = "path") -> BusinessError:
    """Return the error for a path that leads nowhere a step may go."""
    return BusinessError(PATH_DENIED, f"{field}: {reason}")


def _fault(name: str) -> str | None:
    if not name:
        return "has an empty part: a / too many"
    if not name.strip("."):
        return "has a part of dots alone"
    if not name.isprintable():
        return "has a character that does not print: a control, a mark of direction, or half of a surrogate pair"
    if SPECIAL & set(name):
        return 'has one of the characters \\ : * ? " < > |'
    if "/" in name:
        return "has a separator where a name should be"
    if name[0] in "~ " or name[-1] in ". ":
        return "has a part that begins with ~ or a blank, or ends in a full stop or a blank"
    if ENCODED.search(name):
        return "has a percent-encoding"
    if DEVICE.fullmatch(name):
        return "has a part that is a device on some systems"
    if len(name.encode()) > LONGEST_NAME:
        return f"has a part of more than {LONGEST_NAME} bytes"
    return None
