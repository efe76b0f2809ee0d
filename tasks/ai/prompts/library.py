"""Which prompt templates there are: those that are shipped, and those of PROCOS_AI_TEMPLATES, which win by name.

A template is the file `<name>.md.j2` of one of the two folders. It is read anew for each step, so that a changed file
counts from the next step on; its version in the result tells which text was used. Names have no room for a path.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from procos.domain.errors import MOST_SHOWN, PermanentError
from tasks.ai.prompts.template import LARGEST_TEMPLATE, NAME, SUFFIX, Template, read_template, wrong_template

if TYPE_CHECKING:
    from procos.settings import AiSettings

SHIPPED = Path(__file__).with_name("shipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Folders of templates; where two have one of the same name, the first wins."""

    folders: tuple[Path, ...]

    def names(self) -> list[str]:
        """Return the names of all templates, in their order."""
        files = (file.name.removesuffix(SUFFIX) for folder in self.folders for file in folder.glob(f"*{SUFFIX}"))
        return sorted({name for name in files if NAME.fullmatch(name)})

    def template(self, name: str) -> Template:
        """Read a template.

        Raises:
            PermanentError: there is none of this name, or what its file says is wrong.
        """
        for folder in self.folders if NAME.fullmatch(name) else ():
            content = _content(folder / f"{name}{SUFFIX}", name)
            if content is not None:
                return read_template(name, content)
        raise PermanentError(_unknown(name, self.names()), code="UNKNOWN_TEMPLATE")


def library(settings: AiSettings) -> Library:
    """Return the templates an installation has.

    Raises:
        PermanentError: PROCOS_AI_TEMPLATES is no folder.
    """
    own = settings.templates
    if own is None:
        return Library(folders=(SHIPPED,))
    if not own.is_dir():
        raise PermanentError(f"PROCOS_AI_TEMPLATES is {str(own)!r}, which is no folder", code="TEMPLATE")
    return Library(folders=(own, SHIPPED))


def _content(file: Path, name: str) -> bytes | None:
    """Return what a file holds, None where there is none; a byte more than allowed is enough to refuse it."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_TEMPLATE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise wrong_template(name, f"cannot be read: {error.strerror}") from error


def _unknown(name: str, known: list[str]) -> str:
    """Say which templates there are; what is no name may be anybody's text, and is not quoted."""
    what = f"no prompt template is named {name!r}" if NAME.fullmatch(name) else "the name of a prompt template is wrong"
    rest = f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
    near = difflib.get_close_matches(name[:100], known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{what}; known: {', '.join(known[:MOST_SHOWN])}{rest}{hint}"
