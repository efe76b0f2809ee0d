"""What catches a BPMN error in a model: the engine's own rules, read from the XML.

An error is caught by a boundary event on the step, on a sub-process around it, or by an event sub-process of one of
these or of the process; by its code, or by an event without one. An event sub-process does not catch what is thrown
within itself. Source: Camunda 7.24 manual, "Error Events"; the contract cases compare each rule with an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxml import etree

from procos.engine.model_xml import BPMN, root_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INNER_INSTANCE = "#multiInstanceBody"


class CatchingModel:
    """The error events of one model; may be shared by threads."""

    def __init__(self, xml: str) -> None:
        """Read the model.

        Raises:
            ValueError: it is not XML.
        """
        self._root = root_of(xml)
        self._codes: Mapping[str, str | None] = {
            error.get("id") or "": error.get("errorCode") for error in self._root.iter(f"{BPMN}error")
        }
        self._elements = {element.get("id"): element for element in self._root.iter(etree.Element) if element.get("id")}

    def catches(self, activity_id: str, code: str) -> bool:
        """Whether anything in this model catches the error when the step throws it."""
        step = self._elements.get(activity_id.removesuffix(INNER_INSTANCE))
        if step is None:
            return False
        around = [step, *step.iterancestors()]
        return any(self._takes(event, code) for scope in around for event in _catchers(scope, around))

    def _takes(self, event: etree._Element, code: str) -> bool:
        return any(self._code(definition) in {None, code} for definition in event.iter(f"{BPMN}errorEventDefinition"))

    def _code(self, definition: etree._Element) -> str | None:
        """Return the code an event waits for; one that names no error of the model is taken for the code itself."""
        reference = definition.get("errorRef")
        return None if reference is None else self._codes.get(reference.rpartition(":")[2], reference)


def _catchers(scope: etree._Element, around: list[etree._Element]) -> Iterator[etree._Element]:
    """List the events that see an error pass through a scope: at its border, and at the start of what it triggers."""
    parent = scope.getparent()
    if parent is not None and scope.get("id"):
        for event in parent.iterchildren(f"{BPMN}boundaryEvent"):
            if event.get("attachedToRef") == scope.get("id"):
                yield event
    for inner in scope.iterchildren(f"{BPMN}subProcess"):
        if inner.get("triggeredByEvent") == "true" and inner not in around:
            yield from inner.iterchildren(f"{BPMN}startEvent")
