"""The external tasks of a process model, as `StepRunner` runs them: without an engine, so one by one.

Nothing here walks through a model: gateways, mappings and expressions are the engine's, and only an engine can tell
what they do. What is read is what concerns a task: its topic, its retries, what becomes of its output and errors, which
BPMN errors something catches, and which input parameters are constants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from procos.domain.external_task import Topic
from procos.domain.mapping import OutputMapping
from procos.domain.retry import RETRY_CONFIG
from procos.engine.catches import CatchingModel
from procos.engine.input_constants import constants_in
from procos.model_checks import CAMUNDA, external_tasks
from procos.models import read_model
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """One external task of a model."""

    activity_id: str
    topic: Topic
    retry_config: str | None = None
    mapping: OutputMapping | None = None
    model: CatchingModel | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    """Input parameters that the model sets to a text of its own: in these it may name secrets."""

    def catches(self, code: str) -> bool:
        """Whether the model catches this BPMN error when the step throws it."""
        return self.model is not None and self.model.catches(self.activity_id, code)

    @property
    def extension_properties(self) -> Mapping[str, str]:
        """What the engine would send of the model with each fetch of the step."""
        retries = {} if self.retry_config is None else {RETRY_CONFIG: self.retry_config}
        return retries | (self.mapping.to_properties() if self.mapping else {})


def model_steps(path: Path | str) -> Mapping[str, ModelStep]:
    """Read the external tasks of a model, by their ids, after the checks of `procos deploy`.

    Raises:
        ModelError: `procos deploy` would refuse the model: a topic without a route, an expression nobody can read, …
    """
    path = Path(path)
    content = read_model(path, routes=routes()).content
    catching, constants = CatchingModel(content.decode()), constants_in(content.decode())
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    tasks = external_tasks(etree.fromstring(content, parser))
    steps = [_step(task, catching, constants.get(task.get("id") or "", {})) for task in tasks]
    return {step.activity_id: step for step in steps}


def _step(task: etree._Element, model: CatchingModel, constants: Mapping[str, str]) -> ModelStep:
    properties = {entry.get("name") or "": entry.get("value") or "" for entry in task.iter(f"{CAMUNDA}property")}
    return ModelStep(
        activity_id=task.get("id") or "",
        topic=Topic(task.get(f"{CAMUNDA}topic") or ""),
        retry_config=properties.get(RETRY_CONFIG),
        mapping=OutputMapping.from_properties(properties),
        model=model,
        constants=constants,
    )
