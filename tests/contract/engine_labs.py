"""Two engines behind one handle: what a case may do to process instances, in memory and for real."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

from procos.domain.external_task import ExternalTaskId, Topic
from procos.engine.http import HttpEngine
from procos.engine.processes import ModelFile, Processes
from procos.engine.transport import Transport
from procos.testing import FakeEngine, typed
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.domain.external_task import ProcessInstanceId
    from procos.settings import EngineSettings

BOUNDARY = """
<bpmn:boundaryEvent id="catch_{code}" attachedToRef="step">
  <bpmn:errorEventDefinition errorRef="error_{code}"/>
</bpmn:boundaryEvent>
<bpmn:sequenceFlow id="from_{code}" sourceRef="catch_{code}" targetRef="end"/>"""

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
{errors}
<bpmn:process id="{key}" isExecutable="true">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="step"/>
  <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{topic}"
      camunda:taskPriority="${{priority}}"/>
  {boundaries}
  <bpmn:sequenceFlow id="out" sourceRef="step" targetRef="end"/>
  <bpmn:endEvent id="end"/>
</bpmn:process>
</bpmn:definitions>"""


class EngineLab(Protocol):
    """What a case may do, beside the calls of the engine it is about."""

    @property
    def engine(self) -> HttpEngine | FakeEngine:
        """The engine a case is about."""

    def topic(self) -> Topic:
        """Make up a topic nobody else uses."""

    def start(
        self,
        topic: Topic,
        *,
        catches: Sequence[str] = (),
        priority: int = 0,
        variables: Mapping[str, object] | None = None,
    ) -> ExternalTaskId:
        """Let an instance arrive at a step of this topic."""

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        """Suspend the instance, or activate it."""

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        """Delete the instance."""

    def incidents(self, external_task_id: ExternalTaskId) -> list[str]:
        """Read the messages of the step's incidents."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass at the engine."""


class FakeLab:
    """The engine in memory."""

    def __init__(self) -> None:
        self.engine = FakeEngine()

    def topic(self) -> Topic:
        return Topic(f"topic-{uuid.uuid4()}")

    def start(
        self,
        topic: Topic,
        *,
        catches: Sequence[str] = (),
        priority: int = 0,
        variables: Mapping[str, object] | None = None,
    ) -> ExternalTaskId:
        return self.engine.add(
            topic, catches=catches, priority=priority, variables=typed(priority=priority, **(variables or {}))
        )

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        self.engine.suspend(external_task_id, suspended=suspended)

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        self.engine.cancel(external_task_id)

    def incidents(self, external_task_id: ExternalTaskId) -> list[str]:
        return [text for key, text in self.engine.incidents.items() if key == external_task_id]

    def pass_time(self, seconds: float) -> None:
        self.engine.clock.advance(seconds=seconds)


class RealLab:
    """A Camunda engine over REST."""

    def __init__(self, settings: EngineSettings) -> None:
        self.transport = Transport(settings)
        self.engine = HttpEngine(self.transport)
        self.processes = Processes(self.transport)
        self._instances: dict[ExternalTaskId, ProcessInstanceId] = {}

    def topic(self) -> Topic:
        return Topic(f"topic-{uuid.uuid4()}")

    def start(
        self,
        topic: Topic,
        *,
        catches: Sequence[str] = (),
        priority: int = 0,
        variables: Mapping[str, object] | None = None,
    ) -> ExternalTaskId:
        self.processes.deploy(topic, [ModelFile(name=f"{topic}.bpmn", content=model(topic, catches).encode())])
        instance = self.processes.start(topic, {"priority": priority, **(variables or {})})
        (task,) = self.transport.get("/external-task", {"processInstanceId": instance})
        external_task_id = ExternalTaskId(task["id"])
        self._instances[external_task_id] = instance
        return external_task_id

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        path = f"/process-instance/{self._instances[external_task_id]}/suspended"
        self.transport.put(path, {"suspended": suspended})

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        self.transport.delete(f"/process-instance/{self._instances[external_task_id]}")

    def incidents(self, external_task_id: ExternalTaskId) -> list[str]:
        return [incident.message for incident in self.processes.incidents(self._instances[external_task_id])]

    def pass_time(self, seconds: float) -> None:
        pause(seconds)


def model(topic: Topic, catches: Sequence[str] = ()) -> str:
    """Write a process of one step, whose key is its topic."""
    errors = "\n".join(f'<bpmn:error id="error_{code}" errorCode="{code}"/>' for code in catches)
    boundaries = "\n".join(BOUNDARY.format(code=code) for code in catches)
    return MODEL.format(key=topic, topic=topic, errors=errors, boundaries=boundaries)
