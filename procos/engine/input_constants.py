"""What a model sets the input parameters of its steps to, where that is a plain text of the model's own.

A variable says nothing of where its value is from. Only the model can tell, so it is read: an input parameter without a
script, a list, a map or an expression is a constant, which no user and no other step had a hand in. The bridge compares
it with the value it has fetched (`bridge.model_constants`). A version of a process never changes, so each is read once.
Source: Camunda 7.24 manual, "Input/Output Variable Mapping"; the contract cases compare each rule with an engine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from procos.domain.errors import EngineMisconfiguredError
from procos.engine.catches import INNER_INSTANCE
from procos.engine.model_xml import BPMN, CAMUNDA, root_of
from procos.engine.paths import path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.domain.external_task import ExternalTask
    from procos.engine.transport import Transport

EXTENSIONS = f"{BPMN}extensionElements"
EXPRESSION = re.compile(r"[$#]\{")
BLANKS = "".join(map(chr, range(0x21)))
"""What the engine drops at both ends of a text, as Java's `trim` does."""
MODELS_KEPT = 64


class InputConstants:
    """Reads them from the engine; may be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._constants = lru_cache(MODELS_KEPT)(self._read)

    def of(self, task: ExternalTask) -> Mapping[str, str]:
        """Return the constants among a step's input parameters: their names and texts.

        Raises:
            EngineError, EngineUnreachableError: the model cannot be read now.
        """
        activity = task.activity_id.removesuffix(INNER_INSTANCE)
        return self._constants(task.process_definition_id).get(activity, {})

    def _read(self, definition: str) -> Mapping[str, Mapping[str, str]]:
        answer = self._transport.get(path("process-definition", definition, "xml"))
        try:
            return constants_in(str(answer["bpmn20Xml"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EngineMisconfiguredError(f"the model of {definition} cannot be read: {error!r}") from error


def constants_in(xml: str) -> Mapping[str, Mapping[str, str]]:
    """Return the constants of a model, by the id of the step and the name of the input parameter.

    Raises:
        ValueError: it is not XML.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for mapping in root_of(xml).iter(f"{CAMUNDA}inputOutput"):
        extensions = mapping.getparent()
        step = extensions.getparent() if extensions is not None and extensions.tag == EXTENSIONS else None
        if step is None or not step.get("id"):  # of a connector, say
            continue
        constants = found[step.get("id") or ""]
        for parameter in mapping.iterchildren(f"{CAMUNDA}inputParameter"):
            name, text = parameter.get("name") or "", (parameter.text or "").strip(BLANKS)
            if len(parameter) or not text or EXPRESSION.search(text):
                constants.pop(name, None)  # of two with the same name the last one counts
            else:
                constants[name] = text
    return found
