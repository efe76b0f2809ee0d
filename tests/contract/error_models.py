"""Models in which a BPMN error is thrown, with the places where something may catch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId
from procos.engine.paths import path

if TYPE_CHECKING:
    from tests.contract.engine_labs import RealLab

DEFINITIONS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:error id="refused" errorCode="REFUSED" name="Zur\N{LATIN SMALL LETTER U WITH DIAERESIS}ckgewiesen"/>
<bpmn:error id="other" errorCode="OTHER"/>
{processes}
</bpmn:definitions>"""
PROCESS = '<bpmn:process id="{key}" isExecutable="true">{content}</bpmn:process>'
STEP = '<bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{topic}"/>'
MANY = STEP.replace(
    "/>",
    "><bpmn:multiInstanceLoopCharacteristics><bpmn:loopCardinality>1</bpmn:loopCardinality>"
    "</bpmn:multiInstanceLoopCharacteristics></bpmn:serviceTask>",
)
MANUAL = '<bpmn:manualTask id="by_hand"/>'
CALL = '<bpmn:callActivity id="call" calledElement="{key}-called"/>'


def flow(content: str, name: str = "p", element: str = "step") -> str:
    """Let an element stand between a start and an end."""
    return (
        f'<bpmn:startEvent id="start_{name}"/>'
        f'<bpmn:sequenceFlow id="in_{name}" sourceRef="start_{name}" targetRef="{element}"/>{content}'
        f'<bpmn:sequenceFlow id="out_{name}" sourceRef="{element}" targetRef="end_{name}"/>'
        f'<bpmn:endEvent id="end_{name}"/>'
    )


def boundary(element: str, error: str | None) -> str:
    """Catch an error at the border of an element; None is an event without a code."""
    reference = f' errorRef="{error}"' if error else ""
    return (
        f'<bpmn:boundaryEvent id="on_{element}_{error}" attachedToRef="{element}">'
        f"<bpmn:errorEventDefinition{reference}/></bpmn:boundaryEvent>"
    )


def sub_process(content: str, name: str, element: str = "step", *, also: str = "") -> str:
    """Put an element into a sub-process, beside something else."""
    return f'<bpmn:subProcess id="{name}">{flow(content, name, element)}{also}</bpmn:subProcess>'


def event_sub_process(error: str | None, name: str = "event", content: str = "") -> str:
    """Catch an error by an event sub-process; it runs `content`, the step, or just ends."""
    reference = f' errorRef="{error}"' if error else ""
    target = "step" if content else f"end_{name}"
    onward = f'<bpmn:sequenceFlow id="out_{name}" sourceRef="step" targetRef="end_{name}"/>' if content else ""
    return (
        f'<bpmn:subProcess id="{name}" triggeredByEvent="true"><bpmn:startEvent id="start_{name}">'
        f"<bpmn:errorEventDefinition{reference}/></bpmn:startEvent>"
        f'<bpmn:sequenceFlow id="in_{name}" sourceRef="start_{name}" targetRef="{target}"/>{content}{onward}'
        f'<bpmn:endEvent id="end_{name}"/></bpmn:subProcess>'
    )


def throwing_first(content: str) -> str:
    """Begin with an end event that throws REFUSED, so that event sub-processes for it run."""
    return (
        '<bpmn:startEvent id="start_p"/><bpmn:sequenceFlow id="in_p" sourceRef="start_p" targetRef="thrown"/>'
        '<bpmn:endEvent id="thrown"><bpmn:errorEventDefinition errorRef="refused"/></bpmn:endEvent>' + content
    )


CAUGHT = {
    "boundary-event-of-the-code": flow(STEP + boundary("step", "refused")),
    "boundary-event-without-a-code": flow(STEP + boundary("step", None)),
    "boundary-event-of-the-code-among-others": flow(STEP + boundary("step", "other") + boundary("step", "refused")),
    "boundary-event-that-names-the-code-itself": flow(STEP + boundary("step", "REFUSED")),
    "boundary-event-of-many-instances": flow(MANY + boundary("step", "refused")),
    "boundary-event-of-the-sub-process": flow(
        sub_process(STEP, "inner") + boundary("inner", "refused"), element="inner"
    ),
    "boundary-event-two-levels-up": flow(
        sub_process(sub_process(STEP, "inner"), "outer", "inner") + boundary("outer", None), element="outer"
    ),
    "event-sub-process-of-the-process": flow(STEP) + event_sub_process("refused"),
    "event-sub-process-without-a-code": flow(STEP) + event_sub_process(None),
    "event-sub-process-of-the-sub-process": flow(
        sub_process(STEP, "inner", also=event_sub_process("refused")), element="inner"
    ),
}
UNCAUGHT = {
    "nothing": flow(STEP),
    "boundary-event-of-another-code": flow(STEP + boundary("step", "other")),
    "boundary-event-that-names-another-code": flow(STEP + boundary("step", "SURPRISE")),
    "event-sub-process-of-another-code": flow(STEP) + event_sub_process("other"),
    "event-sub-process-of-a-sub-process-beside": flow(
        STEP + sub_process(MANUAL, "beside", "by_hand", also=event_sub_process("refused"))
    ),
    "event-sub-process-it-is-thrown-in": throwing_first(event_sub_process("refused", content=STEP)),
}
CALLED = {
    "called-and-the-caller-catches": (CALL + boundary("call", "refused"), True),
    "called-and-the-caller-does-not": (CALL, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thrower:
    """An instance that waits at the step which is about to throw."""

    task: ExternalTaskId
    instance: ProcessInstanceId
    definition: str


def started(lab: RealLab, content: str, *, caller: str | None = None) -> Thrower:
    """Deploy a model, start it (or the caller of it), and lock its step."""
    key = topic = lab.topic()
    processes = PROCESS.format(key=f"{key}-called" if caller else key, content=content)
    if caller:
        processes += PROCESS.format(key=key, content=flow(caller, "c", "call"))
    text = DEFINITIONS.format(processes=processes).replace("{topic}", topic).replace("{key}", key)
    file = (f"{key}.bpmn", text.encode("iso-8859-1"), "application/xml")
    lab.transport.post_form("/deployment/create", {"deployment-name": key}, {f"{key}.bpmn": file})
    lab.transport.post(path("process-definition", "key", key, "start"), {})
    body = {"workerId": "me", "maxTasks": 1, "topics": [{"topicName": topic, "lockDuration": 60_000}]}
    (task,) = lab.transport.post("/external-task/fetchAndLock", body)
    return Thrower(
        task=ExternalTaskId(task["id"]),
        instance=ProcessInstanceId(task["processInstanceId"]),
        definition=task["processDefinitionId"],
    )
