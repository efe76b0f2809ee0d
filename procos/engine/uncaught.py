"""BPMN errors nobody catches, on engines that would end the path in silence.

The engine of this project refuses such an error and says in a header that it does. Before an error is thrown on any
other, the model is looked at; what nothing catches is refused here in the same words, so that it becomes an incident.
An instance that was called by another may throw: whether the caller catches is for the caller's model to say.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from procos.domain.errors import EngineMisconfiguredError, EngineRejectedError
from procos.engine.catches import CatchingModel
from procos.engine.paths import path
from procos.engine.wire import count_from_json

if TYPE_CHECKING:
    from procos.domain.external_task import ExternalTaskId
    from procos.engine.transport import Transport

REFUSES_UNCAUGHT = "ProcOS-Refuses-Uncaught-Errors"
"""The header by which an engine says that it refuses them itself."""
UNCAUGHT = "ENGINE-13033"
"""The engine's own number for the refusal."""
MODELS_KEPT = 64


class UncaughtErrors:
    """Refuses BPMN errors that nothing catches; may be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._model = lru_cache(MODELS_KEPT)(self._read)

    def refuse(self, external_task_id: ExternalTaskId, code: str) -> None:
        """Return if something may catch the error.

        Raises:
            EngineRejectedError: nothing in the model does, and no other instance called this one.
            TaskGoneError: the step has ended.
        """
        task: Any = self._transport.get(path("external-task", external_task_id))
        try:
            activity, definition, instance = (
                task[f] for f in ("activityId", "processDefinitionId", "processInstanceId")
            )
        except (KeyError, TypeError) as error:
            raise EngineMisconfiguredError(f"the engine's external task lacks a field: {error!r}") from error
        if self._model(definition).catches(activity, code) or self._was_called(instance):
            return
        raise EngineRejectedError(
            f"{UNCAUGHT} BPMN error {code!r} of {activity!r} is caught by nothing in {definition}", status=500, code=0
        )

    def _was_called(self, instance: str) -> bool:
        return count_from_json(self._transport.get("/process-instance/count", {"subProcessInstance": instance})) > 0

    def _read(self, definition: str) -> CatchingModel:
        answer = self._transport.get(path("process-definition", definition, "xml"))
        try:
            return CatchingModel(str(answer["bpmn20Xml"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EngineMisconfiguredError(f"the model of {definition} cannot be read: {error!r}") from error
