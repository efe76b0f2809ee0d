"""What the operations on files take and give."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003  # pydantic reads it
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from procos.blobs import BlobReference  # noqa: TC001  # pydantic reads it
from tasks.adapters.files.content import Encoding, ReadAs  # noqa: TC001  # pydantic reads it
from tasks.adapters.files.paths import MOST_PARTS

LONGEST_PATTERN = 100
Overwrite = Literal["fail", "replace"]


def _parsed(given: object) -> object:
    try:
        return json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None


class Parameters(BaseModel):
    """What no operation may be told: anything it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Where(Parameters):
    """A file or folder."""

    path: str
    """Relative to the root, with `/` between names."""


class Read(Where):
    """A file, and what becomes of it."""

    read_as: ReadAs = "auto"
    encoding: Encoding = "utf-8"


class Write(Where):
    """A file, and what to write: a text or blob as `content`, or a value as `json`."""

    content: str | BlobReference | None = None
    document: Annotated[Any, BeforeValidator(_parsed)] = Field(None, alias="json")
    """A JSON value, or its text."""
    encoding: Encoding = "utf-8"
    """Of a text; a blob is written as it is."""
    overwrite: Overwrite = "fail"


class Copy(Where):
    """A file, and where to write it again."""

    target: str
    overwrite: Overwrite = "fail"


class List(Parameters):
    """A folder, and what of it."""

    path: str = ""
    """Empty for the root itself."""
    pattern: str | None = Field(None, min_length=1, max_length=LONGEST_PATTERN)
    """Names to list, with `*`, `?` and `[…]`; folders that do not match are walked through all the same."""
    recursive: bool = False
    depth: int = Field(MOST_PARTS, ge=1, le=MOST_PARTS)
    """Levels of folders, where it is recursive."""


class Content(BaseModel):
    """A file as it was read."""

    content: Any
    """A text, a JSON value, or the reference to a blob."""
    size: int
    sha256: str
    media_type: str
    modified: datetime | None


class Written(BaseModel):
    """A file as it is now."""

    size: int
    sha256: str
    already_there: bool
    """Whether a file with the same content was there, so that nothing was written."""


class Checksum(BaseModel):
    """What is in a file, in short."""

    size: int
    sha256: str


class Found(BaseModel):
    """What is at a path."""

    exists: bool
    is_folder: bool = False
    size: int = 0
    modified: datetime | None = None


class Deleted(BaseModel):
    """What became of a file that is not wanted."""

    deleted: bool
    """False where there was none."""


class ListedEntry(BaseModel):
    """A file or folder."""

    name: str
    path: str
    """As a step gives it."""
    size: int
    modified: datetime | None
    is_folder: bool


class Listed(BaseModel):
    """What is in a folder, by name; each folder stands before what is in it."""

    entries: list[ListedEntry]
    truncated: bool
    """Whether there are more."""
    left_out: int
    """Links, special files, hidden ones, and names no step could give."""
