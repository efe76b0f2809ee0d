"""Looks at the models, those of this folder and those that are deployed, against the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.cli.doctor.findings import Finding, Health
from procos.domain.errors import ProcosError
from procos.engine.http import HttpEngine
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.models import find_models, read_model
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings


def models_findings(chosen: Settings) -> Iterator[Finding]:
    """Read every model of the folder of processes."""
    for path in find_models([chosen.process_directory]):
        try:
            model = read_model(path, routes=routes())
        except ProcosError as error:
            yield Finding(check="models", health=Health.BAD, text=str(error), cure="mend the model, or add a route")
        else:
            yield Finding(check="models", health=Health.GOOD, text=f"{path}: {', '.join(model.topics) or 'no topics'}")


def deployed_findings(chosen: Settings) -> Iterator[Finding]:
    """Ask the engine what is deployed, and which steps wait for a topic nobody serves."""
    transport = Transport(chosen.engine)
    deployed = [definition.key for definition in Processes(transport).definitions()]
    yield Finding(check="deployed", health=Health.GOOD, text=", ".join(deployed) or "no process is deployed yet")
    for topic in sorted(set(HttpEngine(transport).open_topics()) - routes().keys()):
        yield Finding(
            check="deployed",
            health=Health.BAD,
            text=f"external tasks wait on topic {topic!r}, which no route serves",
            cure="add a route, or mend the model",
        )
