"""What is wrong, or worth a word, in a process model before the engine is asked: each with its line and element.

A fault keeps the model from being deployed: the engine would not say it, or not say it well. A remark does not: the
model runs, and something in it ends otherwise than its author may think.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lxml import etree

from procos.domain.mapping import ERROR_EXPRESSION, RESULT_EXPRESSION, RESULT_VARIABLE, length_fault, name_fault
from procos.domain.retry import RETRY_CONFIG, policy_from_model
from procos.engine.catches import CatchingModel
from procos.expressions import syntax_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from procos.domain.external_task import Topic
    from procos.routes import Route

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"
DAYS = re.compile(r"\d+|P\d+D")
"""How long history is kept, as the engine reads it. Source: Camunda 7.24 manual, "History Time To Live"."""
TRANSFORMATION = "data_transformation"
EXPRESSION = re.compile(r"[$#]\{")
THROWN = re.compile(r"""\$bpmnError\(\s*(["'])([^"'\\]+)\1""")
"""A code that an errorExpression names as a text; one that it computes is not looked for."""
DECIDES_ALL = re.compile(r"\s*\$(bpmnError|jobError|ignoreError)\(")
"""The beginning of an errorExpression that asks nothing first: no error leaves the step as the task has raised it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One fault or remark."""

    text: str
    line: int | None = None
    element: str | None = None
    is_fault: bool = True

    def __str__(self) -> str:
        return self.text + (f" (element {self.element})" if self.element else "")


def notes_on(root: etree._Element, routes: Mapping[Topic, Route]) -> Iterator[Note]:
    """Look through a whole model, faults and remarks in the order of the file's parts."""
    if root.tag != f"{BPMN}definitions":
        yield Note(text=f"not a BPMN model: the root is <{_short(root)}>", line=line_of(root))
        return
    processes = list(executable(root))
    if not processes:
        yield Note(text='no process is executable; set isExecutable="true"', line=line_of(root))
    for process in processes:
        yield from _on_history(process)
        for task in external_tasks(process):
            yield from _on_topic(task, routes)
            yield from _on_retries(task)
            yield from _on_mapping(task)
            yield from _on_transformation(task)
    yield from _on_errors(root)
    yield from _on_uncaught(root, processes, routes)


def executable(root: etree._Element) -> Iterable[etree._Element]:
    """List the processes an engine would run."""
    return [process for process in root.iter(f"{BPMN}process") if process.get("isExecutable") == "true"]


def external_tasks(process: etree._Element) -> Iterable[etree._Element]:
    """List what becomes external tasks: service tasks, and events and other tasks that are implemented so."""
    return [element for element in process.iter() if element.get(f"{CAMUNDA}type") == "external"]


def line_of(element: etree._Element) -> int | None:
    """Return the line an element begins on."""
    return cast("int | None", element.sourceline)


def _on_history(process: etree._Element) -> Iterator[Note]:
    kept = process.get(f"{CAMUNDA}historyTimeToLive")
    if not kept:
        text = "no camunda:historyTimeToLive: how long its history is kept is left to the engine, and some refuse it so"
        yield _note(process, text, is_fault=False)
    elif not DAYS.fullmatch(kept):
        yield _note(process, f"camunda:historyTimeToLive is {kept!r}, expected days, such as P30D")


def _on_topic(task: etree._Element, routes: Mapping[Topic, Route]) -> Iterator[Note]:
    topic = task.get(f"{CAMUNDA}topic")
    if not topic:
        yield _note(task, "an external task without a topic")
    elif topic not in routes and not EXPRESSION.search(topic):
        yield _note(task, f"no route serves topic {topic!r}; known: {', '.join(sorted(routes))}")


def _on_retries(task: etree._Element) -> Iterator[Note]:
    for found in _properties(task, RETRY_CONFIG):
        try:
            policy_from_model(found.get("value") or "")
        except ValueError as error:
            yield Note(text=f"{RETRY_CONFIG} {error}", line=line_of(found), element=task.get("id"))


def _on_mapping(task: etree._Element) -> Iterator[Note]:
    for name, fault_of in (
        (RESULT_VARIABLE, name_fault),
        (RESULT_EXPRESSION, _expression_fault),
        (ERROR_EXPRESSION, _expression_fault),
    ):
        for found in _properties(task, name):
            if fault := fault_of(found.get("value") or ""):
                yield Note(text=f"{name} {fault}", line=line_of(found), element=task.get("id"))


def _on_transformation(task: etree._Element) -> Iterator[Note]:
    """Read the JSONata or Jinja of a transformation, and remark on what says how to transform and is no constant."""
    if task.get(f"{CAMUNDA}topic") != TRANSFORMATION:
        return
    inputs = {found.get("name"): found for found in task.iter(f"{CAMUNDA}inputParameter")}
    language = _constant(inputs["language"]) if "language" in inputs else "jsonata"
    name = "template" if language == "jinja" else "expression"
    constant = _constant(inputs[name]) if name in inputs else None
    if constant is None:
        text = f"its {name} is no constant: whoever writes that variable computes with all the data of this step"
        yield _note(task, text, is_fault=False)
    elif fault := (_template_fault if name == "template" else _expression_fault)(constant):
        yield Note(text=f"{name} {fault}", line=line_of(inputs[name]), element=task.get("id"))


def _constant(parameter: etree._Element) -> str | None:
    """Return the text of an input parameter that the engine takes as it stands."""
    text = parameter.text or ""
    return None if len(parameter) or EXPRESSION.search(text) else text


def _expression_fault(text: str) -> str | None:
    return length_fault(text) or syntax_fault(text)


def _template_fault(text: str) -> str | None:
    from tasks.templates.grammar import TemplateError
    from tasks.templates.sandbox import compiled  # imports jinja2, which few models need

    if fault := length_fault(text):
        return fault
    try:
        compiled(text)
    except TemplateError as error:
        return f"is wrong: {error}"
    return None


def _properties(task: etree._Element, name: str) -> Iterable[etree._Element]:
    return [found for found in task.iter(f"{CAMUNDA}property") if found.get("name") == name]


def _on_errors(root: etree._Element) -> Iterator[Note]:
    """Find end events that throw an error without a code; to an event that catches, no code means any."""
    codes = {error.get("id"): error.get("errorCode") for error in root.iter(f"{BPMN}error")}
    for end in root.iter(f"{BPMN}endEvent"):
        for definition in end.iter(f"{BPMN}errorEventDefinition"):
            reference = definition.get("errorRef")
            if reference in codes and not codes[reference]:
                yield _note(end, f"it throws the error {reference!r}, which has no errorCode")


def _on_uncaught(
    root: etree._Element, processes: Iterable[etree._Element], routes: Mapping[Topic, Route]
) -> Iterator[Note]:
    catching = CatchingModel(etree.tostring(root, encoding="unicode"))
    for process in processes:
        for task in external_tasks(process):
            for code, who in _thrown(task, routes).items():
                if not catching.catches(_step_of(task).get("id") or "", code):
                    text = f"nothing here catches {code}, which {who}"
                    yield _note(task, f"{text}: an incident, unless a process that calls this one does", is_fault=False)


def _thrown(task: etree._Element, routes: Mapping[Topic, Route]) -> Mapping[str, str]:
    """Return the BPMN errors a step may throw, each with the words for who does."""
    topic = cast("Topic", task.get(f"{CAMUNDA}topic") or "")
    route = routes.get(topic)
    expressions = [found.get("value") or "" for found in _properties(task, ERROR_EXPRESSION)]
    named = (code for text in expressions for _, code in THROWN.findall(text))
    raised = () if route is None or any(map(DECIDES_ALL.match, expressions)) else route.errors
    return dict.fromkeys(named, f"its {ERROR_EXPRESSION} throws") | dict.fromkeys(raised, f"topic {topic!r} may raise")


def _note(element: etree._Element, text: str, *, is_fault: bool = True) -> Note:
    return Note(text=text, line=line_of(element), element=_step_of(element).get("id"), is_fault=is_fault)


def _step_of(element: etree._Element) -> etree._Element:
    """Return the event that a definition belongs to, which is what throws and what people know."""
    event = element.getparent()
    return event if event is not None and element.tag.endswith("EventDefinition") else element


def _short(element: etree._Element) -> str:
    return str(etree.QName(element).localname)
