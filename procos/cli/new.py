"""`procos new task NAME`: a package of one task with its route, process and tests, which works as it is."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import click

from procos.domain.errors import UsageError
from procos.domain.external_task import Topic
from procos.queues import Queue, fault_of_name
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
PLACES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "package/__init__.py.txt": "{name}/__init__.py",
    "package/routes.py.txt": "{name}/routes.py",
    "package/task.py.txt": "{name}/task.py",
    "process/model.bpmn.txt": "processes/{name}_process/model.bpmn",
    "tests/test_NAME.py.txt": "tests/test_{name}.py",
}
"""Where each file of the starting point goes."""


@click.group()
def new() -> None:
    """Make a starting point for something of your own."""


@new.command()
@click.argument("name")
@click.option("--queue", default=str(Queue.GENERIC), show_default=True, help="ai, generic, or a queue of your own.")
@click.option("--into", type=click.Path(path_type=Path), help="The new folder; default: NAME in the current one.")
def task(*, name: str, queue: str, into: Path | None) -> None:
    """Write a package that serves the topic NAME: route, function, process and tests."""
    check(name, queue)
    folder = into or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already, and no empty folder")
    for place, text in written(name, queue):
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        click.echo(str(file))
    click.echo(f"\ntry it: cd {folder} && pip install -e . && pytest", err=True)


def check(name: str, queue: str) -> None:
    """Make sure that a task may have this name.

    Raises:
        UsageError: it is no name of a Python package, its topic is taken, or the queue is not one for tasks.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in {"processes", "tests"}:
        raise UsageError(f"{name!r} cannot name a package: expected small letters, digits and _, such as send_invoice")
    if find_spec(name) is not None:
        raise UsageError(f"{name!r} is the name of a Python package that is installed already; choose another")
    if Topic(name) in routes():
        owner = routes()[Topic(name)].source
        raise UsageError(f"topic {name!r} is served already, by {owner}; `procos routes` lists all")
    if fault := fault_of_name(queue):
        raise UsageError(fault)


def written(name: str, queue: str) -> Iterator[tuple[Path, str]]:
    """Yield each file of the starting point: where it goes, and its text."""
    words = _words(name, queue)
    source = files("procos.starting_points") / "task"
    for template, place in PLACES.items():
        text = source.joinpath(*template.split("/")).read_text("utf-8")
        yield Path(place.format(name=name)), Template(text).substitute(words)


def _words(name: str, queue: str) -> Mapping[str, str]:
    parts = [part for part in name.split("_") if part]
    return {
        "name": name,
        "topic": name,
        "queue": queue,
        "distribution": "-".join(parts),
        "Class": "".join(part.capitalize() for part in parts),
        "title": " ".join(parts).capitalize(),
    }
