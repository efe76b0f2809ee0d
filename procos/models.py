"""Process models on disk: where they are, and what is wrong with them before the engine is asked.

One folder per process holds `model.bpmn`; a path may also name a single file. Only what the engine would not say, or
not say well, is checked here: that the file is BPMN, executable, and that every external task has a topic we serve and
retries we can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lxml import etree

from procos.domain.errors import ModelError, UsageError
from procos.domain.retry import RETRY_CONFIG, policy_from_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"
LARGEST_MODEL = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that passed the checks."""

    path: Path
    content: bytes
    keys: tuple[str, ...]
    topics: tuple[str, ...]

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


def read_model(path: Path, *, known_topics: Collection[str]) -> Model:
    """Read and check one model.

    Raises:
        ModelError: it cannot be deployed as it is; names line and element.
    """
    content = _content(path)
    root = _parsed(path, content)
    if root.tag != f"{BPMN}definitions":
        raise ModelError(str(path), f"not a BPMN model: the root is <{_short(root)}>", line=_line(root))
    executable = [process for process in root.iter(f"{BPMN}process") if process.get("isExecutable") == "true"]
    if not executable:
        raise ModelError(str(path), 'no process is executable; set isExecutable="true"', line=_line(root))
    tasks = [task for process in executable for task in _external_tasks(process)]
    topics = [_topic(path, task, known_topics) for task in tasks]
    for task in tasks:
        _check_retries(path, task)
    keys = tuple(process.get("id") or "" for process in executable)
    return Model(path=path, content=content, keys=keys, topics=tuple(dict.fromkeys(topics)))


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


def _external_tasks(process: etree._Element) -> Iterable[etree._Element]:
    return [element for element in process.iter() if element.get(f"{CAMUNDA}type") == "external"]


def _topic(path: Path, task: etree._Element, known: Collection[str]) -> str:
    topic: str | None = task.get(f"{CAMUNDA}topic")
    if not topic:
        raise ModelError(str(path), "an external task without a topic", line=_line(task), element=task.get("id"))
    if topic not in known and "${" not in topic:
        served = ", ".join(sorted(known))
        raise ModelError(
            str(path), f"no route serves topic {topic!r}; known: {served}", line=_line(task), element=task.get("id")
        )
    return topic


def _check_retries(path: Path, task: etree._Element) -> None:
    for found in task.iter(f"{CAMUNDA}property"):
        if found.get("name") == RETRY_CONFIG:
            try:
                policy_from_model(found.get("value") or "")
            except ValueError as error:
                text = f"{RETRY_CONFIG} {error}"
                raise ModelError(str(path), text, line=_line(found), element=task.get("id")) from error


def _line(element: etree._Element) -> int | None:
    return cast("int | None", element.sourceline)


def _short(element: etree._Element) -> str:
    return str(etree.QName(element).localname)
