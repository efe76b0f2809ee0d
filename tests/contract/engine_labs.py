"""Two engines behind one handle: what a case may do to process instances, in memory and for real."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.engine.http import HttpEngine
from procos.engine.paths import path
from procos.engine.processes import Processes
from procos.engine.reports import Complete, Fail, Report, Throw
from procos.engine.subscription import EVERYTHING, Filter, Subscription
from procos.engine.transport import Transport
from procos.engine.wire import variables_to_json
from procos.testing import FakeEngine, typed
from tests.services import pause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from procos.domain.external_task import ExternalTask
    from procos.settings import EngineSettings

LONG = timedelta(minutes=5)
SHORT, AFTER_SHORT = timedelta(milliseconds=300), 0.4
"""A lock that runs out within a case, and the seconds after which it has."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose an instance is; its process has the topic's name where no key is given."""

    tenant: str | None = None
    process_key: str | None = None
    business_key: str | None = None


ANYWHERE = Origin()


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
        origin: Origin = ANYWHERE,
    ) -> ExternalTaskId:
        """Let an instance arrive at a step of this topic."""

    def start_many(self, topic: Topic, count: int, *, priority: int = 0) -> None:
        """Let so many instances arrive at a step of this topic."""

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        """Suspend the instance, or activate it."""

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        """Delete the instance."""

    def set_retries(self, external_task_id: ExternalTaskId, retries: int) -> None:
        """Give the step retries, as an operator does."""

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
        origin: Origin = ANYWHERE,
    ) -> ExternalTaskId:
        return self.engine.add(
            topic,
            catches=catches,
            priority=priority,
            variables=typed(priority=priority, **(variables or {})),
            process_key=origin.process_key or topic,
            business_key=origin.business_key,
            tenant=origin.tenant,
        )

    def start_many(self, topic: Topic, count: int, *, priority: int = 0) -> None:
        for _ in range(count):
            self.start(topic, priority=priority)

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        self.engine.suspend(external_task_id, suspended=suspended)

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        self.engine.cancel(external_task_id)

    def set_retries(self, external_task_id: ExternalTaskId, retries: int) -> None:
        self.engine.set_retries(external_task_id, retries)

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
        origin: Origin = ANYWHERE,
    ) -> ExternalTaskId:
        key = origin.process_key or topic
        self._deploy(key, model(topic, catches, key=key), origin.tenant)
        instance = self._start(key, {"priority": priority, **(variables or {})}, origin)
        (task,) = self.transport.get("/external-task", {"processInstanceId": instance})
        external_task_id = ExternalTaskId(task["id"])
        self._instances[external_task_id] = instance
        return external_task_id

    def _deploy(self, key: str, content: str, tenant: str | None) -> None:
        fields = {"deployment-name": key, "enable-duplicate-filtering": "true"}
        self.transport.post_form(
            "/deployment/create",
            fields | ({"tenant-id": tenant} if tenant else {}),
            {f"{key}.bpmn": (f"{key}.bpmn", content.encode(), "application/xml")},
        )

    def _start(self, key: str, variables: Mapping[str, object], origin: Origin) -> ProcessInstanceId:
        of_tenant = ("tenant-id", origin.tenant) if origin.tenant else ()
        answer = self.transport.post(
            path("process-definition", "key", key, *of_tenant, "start"),
            {"variables": variables_to_json(variables, json_type=True), "businessKey": origin.business_key},
        )
        return ProcessInstanceId(answer["id"])

    def start_many(self, topic: Topic, count: int, *, priority: int = 0) -> None:
        self._deploy(topic, model(topic, (), key=topic), None)
        for _ in range(count):
            self._start(topic, {"priority": priority}, ANYWHERE)

    def suspend(self, external_task_id: ExternalTaskId, *, suspended: bool = True) -> None:
        self.transport.put(f"/process-instance/{self._instances[external_task_id]}/suspended", {"suspended": suspended})

    def cancel(self, external_task_id: ExternalTaskId) -> None:
        self.transport.delete(f"/process-instance/{self._instances[external_task_id]}")

    def set_retries(self, external_task_id: ExternalTaskId, retries: int) -> None:
        self.transport.put(path("external-task", external_task_id, "retries"), {"retries": retries})

    def incidents(self, external_task_id: ExternalTaskId) -> list[str]:
        return [incident.message for incident in self.processes.incidents(self._instances[external_task_id])]

    def pass_time(self, seconds: float) -> None:
        pause(seconds)


class TellingInLists:
    """A lab whose engine is told of outcomes in lists of one."""

    def __init__(self, lab: FakeLab | RealLab) -> None:
        self._lab, self.engine = lab, cast("FakeEngine", _InLists(lab.engine))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lab, name)


class _InLists:
    def __init__(self, engine: FakeEngine | HttpEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def complete(self, external_task_id: ExternalTaskId, holder: str, variables: Mapping[str, object]) -> None:
        self._tell(Complete(external_task_id=external_task_id, holder=holder, variables=variables))

    def fail(self, external_task_id: ExternalTaskId, holder: str, **words: Any) -> None:
        self._tell(Fail(external_task_id=external_task_id, holder=holder, **words))

    def raise_bpmn_error(self, external_task_id: ExternalTaskId, holder: str, **words: Any) -> None:
        self._tell(Throw(external_task_id=external_task_id, holder=holder, **words))

    def _tell(self, report: Report) -> None:
        (refusal,) = self._engine.report([report])
        if refusal:
            raise refusal


def fetch(
    lab: EngineLab,
    topic: Topic,
    holder: str = "me",
    *,
    lock: timedelta = LONG,
    max_tasks: int = 10,
    variables: tuple[str, ...] | None = None,
    only: Filter = EVERYTHING,
) -> Sequence[ExternalTask]:
    """Fetch from one topic, without waiting at the engine."""
    subscription = Subscription(topic=topic, lock_duration=lock, variables=variables, only=only)
    return lab.engine.fetch_and_lock(holder, [subscription], max_tasks=max_tasks, wait=timedelta(0))


def model(topic: Topic, catches: Sequence[str] = (), *, key: str | None = None) -> str:
    """Write a process of one step, whose key is its topic where none is given."""
    errors = "\n".join(f'<bpmn:error id="error_{code}" errorCode="{code}"/>' for code in catches)
    boundaries = "\n".join(BOUNDARY.format(code=code) for code in catches)
    return MODEL.format(key=key or topic, topic=topic, errors=errors, boundaries=boundaries)
