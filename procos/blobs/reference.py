"""What travels in place of a blob: its key in the store, its hash, its size, and what kind of content it is.

The key is made by us alone: the instance a blob belongs to, and the hash of its content. Whoever sets a variable may
write a reference into it, so a key is checked to be of that form before anybody looks for it: it never leads to another
folder, another store, or a file that is no blob. And who does not know what is in a blob cannot name it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from procos.domain.errors import PermanentError, VariableError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER, VERSION = "procos_blob", 1
BECOMES = "becomes"
FOLDER = r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,254}"
"""What ids of the engine are made of; a colon, which some file systems do not take in names, is written as `~`."""
HASH = r"[0-9a-f]{64}"
OCTETS, JSON, TEXT = "application/octet-stream", "application/json", "text/plain; charset=utf-8"
TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105  # a part of a media type, no secret
MEDIA_TYPE = re.compile(rf"{TOKEN}/{TOKEN}( ?; ?{TOKEN}=\"?{TOKEN}\"?)*", re.ASCII)
CHARSET = re.compile(rf"; ?charset=\"?({TOKEN})", re.IGNORECASE)
LONGEST = 255
"""Characters of a media type, and of a file's name."""


class BlobReference(BaseModel):
    """A blob in the store; a field annotated with it takes the reference itself, whatever the blob holds."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    procos_blob: Literal[1]
    key: str = Field(pattern=f"^{FOLDER}/{HASH}$")
    sha256: str = Field(pattern=f"^{HASH}$")
    size: int = Field(ge=0)
    media_type: str = Field(OCTETS, max_length=LONGEST)
    name: str | None = Field(None, max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f/\\]+$")
    becomes: Literal["File", "Bytes"] | None = None
    """The engine's type a result shall have; its content is then stored in the engine too."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.key.rpartition("/")[2] != self.sha256:
            raise ValueError("key and hash name different blobs")
        if not MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError("its media type is none")
        return self

    @property
    def process_instance_id(self) -> str:
        """The instance it belongs to."""
        return instance_of(self.key.partition("/")[0])

    @property
    def kind(self) -> str:
        """Its media type without parameters, such as `application/pdf`."""
        return self.media_type.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The encoding its media type names, if any."""
        found = CHARSET.search(self.media_type)
        return found[1] if found else None

    @property
    def is_text(self) -> bool:
        """Whether its content is a text, and no JSON."""
        return self.kind.startswith("text/")

    @property
    def is_json(self) -> bool:
        """Whether its content is JSON."""
        return self.kind == JSON or self.kind.endswith("+json")

    def as_file(self, name: str | None = None) -> BlobReference:
        """Return it as a result that becomes a variable of the engine's type File, under the name it has or gets."""
        return self.model_copy(update={"becomes": "File", "name": safe_name(name) or self.name})

    def as_bytes(self) -> BlobReference:
        """Return it as a result that becomes a variable of the engine's type Bytes."""
        return self.model_copy(update={"becomes": "Bytes"})

    def to_json(self) -> dict[str, object]:
        """Write it as the JSON object that travels."""
        return self.model_dump(exclude_none=True)


def is_reference(value: object) -> bool:
    """Whether a value is meant as a reference; `reference_in` tells whether it is one."""
    return isinstance(value, dict) and MARKER in value


def reference_in(name: str, value: Any) -> BlobReference:
    """Read the value of a variable as a reference.

    Raises:
        VariableError: it is none, or one that we did not make.
    """
    try:
        return BlobReference.model_validate(value)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, each["loc"])) or "its parts" for each in error.errors()}))
        raise VariableError(name, f"is no reference to a blob: {wrong}") from None


def reference_to(instance_id: str, facts: Mapping[str, Any]) -> BlobReference:
    """Make the reference to a blob of an instance, from its hash, size and what else is known."""
    key = f"{folder_of(instance_id)}/{facts['sha256']}"
    return BlobReference.model_validate({MARKER: VERSION, "key": key, **facts})


def folder_of(instance_id: str) -> str:
    """Return the folder of an instance's blobs.

    Raises:
        PermanentError: no folder can be called so.
    """
    folder = instance_id.replace(":", "~")
    if not re.fullmatch(FOLDER, folder):
        raise PermanentError(f"{instance_id[:60]!r} is no id of a process instance", code="BLOB_KEY")
    return folder


def instance_of(folder: str) -> str:
    """Return the instance a folder belongs to."""
    return folder.replace("~", ":")


def safe_name(name: str | None) -> str | None:
    """Return what a file may be called: the last part of a path, without what is no character."""
    last = re.split(r"[/\\]", name or "")[-1].encode(errors="replace").decode()
    return "".join(each for each in last if each.isprintable())[:LONGEST].strip() or None


def safe_media_type(given: str | None, charset: str | None = None) -> str:
    """Return a media type as somebody gave it, where it is one, else that of any bytes."""
    plain = (given or "").strip()
    full = f"{plain}; charset={charset}" if charset and plain and not CHARSET.search(plain) else plain
    return next((each for each in (full, plain) if len(each) <= LONGEST and MEDIA_TYPE.fullmatch(each)), OCTETS)
