"""One prompt template: what its file says of it, and the text that is filled.

A file has a head in TOML between two lines `+++`, and then one or both of the Jinja blocks `system` and `user`:

    +++
    description = "Greets somebody."

    [variables.letter]
    description = "What they wrote."
    untrusted = true
    +++
    {% block system %}
    Answer the letter in one sentence.
    {% endblock %}

The version of a template is the hash of its file. `tasks.ai.prompts.library` is the caller.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from procos.domain.errors import PermanentError

INVALID_INPUT = "INVALID_INPUT"
"""The BPMN error of variables that do not fit a template."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
SUFFIX = ".md.j2"
LARGEST_TEMPLATE = 65_536
"""Bytes of a file."""
DIVIDER = "+++"
VERSION_LENGTH = 12


def _variable_name(name: str) -> str:
    if not NAME.fullmatch(name) or name == "loop":
        raise ValueError("expected a name of small letters, digits and underscores, other than loop")
    return name


class Variable(BaseModel):
    """A variable of a template: what is expected of its value, and whether strangers may have written it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    type: Literal["text", "number", "boolean", "list", "object", "any"] = "text"
    untrusted: bool = False
    optional: bool = False
    default: Any = None

    @property
    def must_be_given(self) -> bool:
        """Whether the template cannot be filled without it."""
        return not self.optional and self.default is None


class Head(BaseModel):
    """What a template's file says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    one_of: str | None = None
    """The variable that lists texts of which the answer is one."""
    variables: dict[Annotated[str, AfterValidator(_variable_name)], Variable] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as it was read; `body` has the line numbers of the file."""

    name: str
    version: str
    head: Head
    body: str


def read_template(name: str, content: bytes) -> Template:
    """Read what a template's file holds.

    Raises:
        PermanentError: it is too large, or its head is wrong; says where.
    """
    if len(content) > LARGEST_TEMPLATE:
        raise wrong_template(name, f"is larger than {LARGEST_TEMPLATE} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise wrong_template(name, "is not UTF-8") from error
    head, body = _parts(name, text.replace("\r\n", "\n"))
    version = hashlib.sha256(content).hexdigest()[:VERSION_LENGTH]
    return Template(name=name, version=version, head=_head(name, head), body=body)


def wrong_template(name: str, reason: str) -> PermanentError:
    """Return the error for a template whose author has to mend it."""
    return PermanentError(f"prompt template {name!r}: {reason}", code="TEMPLATE")


def _parts(name: str, text: str) -> tuple[str, str]:
    lines = text.split("\n")
    try:
        end = lines.index(DIVIDER, 1)
    except ValueError:
        end = 0
    if lines[0] != DIVIDER or not end:
        raise wrong_template(name, f"expected a head between two lines {DIVIDER}, the first of them line 1")
    return "\n".join(["", *lines[1:end], ""]), "\n" * (end + 1) + "\n".join(lines[end + 1 :])


def _head(name: str, text: str) -> Head:
    try:
        head = Head.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise wrong_template(name, f"the head is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"] if step != "[key]")
        raise wrong_template(name, f"{place}: {first['msg']}") from error
    if head.one_of is not None and not _may_be_choices(head.variables.get(head.one_of)):
        raise wrong_template(name, f"one_of names {head.one_of!r}, expected a list that is given and to be trusted")
    return head


def _may_be_choices(variable: Variable | None) -> bool:
    return variable is not None and variable.type == "list" and not (variable.optional or variable.untrusted)
