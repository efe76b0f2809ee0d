"""Process models on disk: where they are, and what keeps one from being deployed.

One folder per process holds `model.bpmn`; a path may also name a single file. `procos.model_checks` knows what is
looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from procos.domain.errors import ModelError, UsageError
from procos.model_checks import CAMUNDA, executable, external_tasks, notes_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from procos.domain.external_task import Topic
    from procos.model_checks import Note
    from procos.routes import Route

LARGEST_MODEL = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that passed the checks."""

    path: Path
    content: bytes
    keys: tuple[str, ...]
    topics: tuple[str, ...]
    remarks: tuple[Note, ...] = ()
    """What does not keep it from being deployed, and its author may want to know."""

    @property
    def name(self) -> str:
        """The deployment's name: the folder's, so that a moved checkout makes no new version."""
        return self.path.resolve().parent.name if self.path.stem == "model" else self.path.stem


def find_models(paths: Iterable[Path]) -> Sequence[Path]:
    """List the models below the given files and folders.

    Raises:
        UsageError: a path does not exist, or no model is there.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        below = sorted(path.rglob("*.bpmn")) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"no *.bpmn file below {path}")
        found.extend(below)
    return found


def read_model(path: Path, *, routes: Mapping[Topic, Route]) -> Model:
    """Read and check one model.

    Raises:
        ModelError: it cannot be deployed as it is; names every fault with its line and element.
    """
    content = _content(path)
    root = _parsed(path, content)
    notes = list(notes_on(root, routes))
    if faults := [note for note in notes if note.is_fault]:
        raise ModelError.of(str(path), [(note.text, note.line, note.element) for note in faults])
    processes = list(executable(root))
    topics = [task.get(f"{CAMUNDA}topic") or "" for process in processes for task in external_tasks(process)]
    return Model(
        path=path,
        content=content,
        keys=tuple(process.get("id") or "" for process in processes),
        topics=tuple(dict.fromkeys(topics)),
        remarks=tuple(notes),
    )


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST_MODEL:
            raise ModelError(str(path), f"{size} bytes; at most {LARGEST_MODEL} are read")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(str(path), error.strerror or str(error)) from error


def _parsed(path: Path, content: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ModelError(str(path), f"not well-formed XML: {error.msg}", line=error.lineno) from error
