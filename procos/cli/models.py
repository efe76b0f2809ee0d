"""`procos deploy`: brings process models to the engine; doing it twice makes no new version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from procos.cli.environment import settings
from procos.engine.processes import ModelFile, Processes
from procos.engine.transport import Transport
from procos.models import find_models, read_model
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.engine.processes import Definition
    from procos.models import Model


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def deploy(paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Deploy the models at PATHS (default: the process directory); unchanged models make no new version.

    Every model is checked before the first is deployed.
    """
    chosen = settings()
    models = [read_model(path, routes=routes()) for path in find_models(paths or [chosen.process_directory])]
    for model in models:
        for remark in model.remarks:
            click.secho(f"{model.path}:{remark.line}: {remark}", fg="yellow", err=True)
    processes = Processes(Transport(chosen.engine))
    outcomes = [(model, _deployed(processes, model)) for model in models]
    if as_json:
        click.echo(json.dumps([_as_json(model, versions) for model, versions in outcomes], indent=2))
        return
    for model, versions in outcomes:
        done = ", ".join(f"{version.key} is now version {version.version}" for version in versions)
        click.echo(f"{model.path}: {done or 'unchanged'}")


def _deployed(processes: Processes, model: Model) -> Sequence[Definition]:
    file = ModelFile(name=f"{model.name}.bpmn", content=model.content)
    return processes.deploy(model.name, [file])


def _as_json(model: Model, versions: Sequence[Definition]) -> dict[str, object]:
    return {
        "model": str(model.path),
        "processes": list(model.keys),
        "changed": bool(versions),
        "versions": {version.key: version.version for version in versions},
        "remarks": [{"line": note.line, "element": note.element, "text": note.text} for note in model.remarks],
    }
