"""The models a boot deploys: those of the system, which come with ProcOS, and the user's own in the process directory.

Deployment is idempotent: the engine makes a new version of what has changed, and of nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.engine.processes import ModelFile
from procos.models import find_models, read_model
from procos.routes import routes
from procos.shipped import SYSTEM_PROCESSES, shipped_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from procos.engine.processes import Processes
    from procos.models import Model


def root_models(process_directory: Path) -> Sequence[Model]:
    """Read and check them; what the user's folder has under the same key is not taken twice.

    Raises:
        ModelError: one cannot be deployed; names every fault of it with line and element.
    """
    own = [read_model(path, routes=routes()) for path in _own(process_directory)]
    taken = {key for model in own for key in model.keys}
    system = [read_model(shipped_processes() / key / "model.bpmn", routes=routes()) for key in SYSTEM_PROCESSES]
    return [*(model for model in system if not taken & set(model.keys)), *own]


def deploy_all(processes: Processes, models: Sequence[Model]) -> str:
    """Deploy them one by one, and say what is new."""
    fresh = [
        f"{version.key} {version.version}"
        for model in models
        for version in processes.deploy(model.name, [ModelFile(name=f"{model.name}.bpmn", content=model.content)])
    ]
    return f"{len(models)} models, new: {', '.join(fresh)}" if fresh else f"{len(models)} models, none has changed"


def _own(process_directory: Path) -> Iterator[Path]:
    if process_directory.is_dir() and any(process_directory.rglob("*.bpmn")):
        yield from find_models([process_directory])
