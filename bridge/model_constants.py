"""Which variables of a fetched step are constants of its model: in these, and in no others, may it name secrets.

A worker cannot know where a value is from, and a text of a user's must not be taken for one of the model's. So the
bridge compares: what a step of a topic that may have secrets seems to name one in is looked up in the model. Steps
of other topics, and texts that name none, cost nothing. What cannot be looked up now is put off, never guessed at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.undispatched import put_off
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from procos.domain.dispatch import Dispatch
    from procos.domain.errors import ProcosError
    from procos.domain.external_task import ExternalTask
    from procos.domain.variables import TypedValue
    from procos.engine.protocol import Engine
    from procos.routes import Route

log = get_logger(__name__)


class ModelConstants:
    """Tells constants from other variables; `topics` are those that may have secrets, `read` knows the model."""

    def __init__(self, topics: Container[str], read: Callable[[ExternalTask], Mapping[str, str]]) -> None:
        self._topics, self._read = topics, read

    def named(self, dispatch: Dispatch, task: ExternalTask) -> Dispatch:
        """Return the dispatch with the names of its constants.

        Raises:
            EngineError, UnreachableError: the model cannot be read now.
        """
        constants = self.among(task)
        return replace(dispatch, constants=constants) if constants else dispatch

    def among(self, task: ExternalTask) -> tuple[str, ...]:
        """Return the names of the variables that seem to name a secret and have the text the model gives them.

        Raises:
            EngineError, UnreachableError: the model cannot be read now.
        """
        if task.topic not in self._topics:
            return ()
        texts = {name: typed.value for name, typed in task.variables.items() if _may_name_secrets(typed)}
        if not texts:
            return ()
        constants = self._read(task)
        return tuple(sorted(name for name, text in texts.items() if constants.get(name) == text))


NO_CONSTANTS = ModelConstants(frozenset(), lambda _: {})
"""For topics of which none may have secrets."""


def put_off_unread(engine: Engine, task: ExternalTask, route: Route, error: ProcosError) -> None:
    """Have a step offered again in a while whose model cannot be read now."""
    log.warning("external_task.put_off", external_task_id=task.id, topic=task.topic, reason=str(error))
    text = f"its model cannot be read, which must say what may name secrets, tried again: {error}"
    put_off(engine, task, route, text)


def _may_name_secrets(typed: TypedValue) -> bool:
    # A constant is a String: the engine stores none that would be too long for one.
    text = typed.value
    return typed.type == "String" and isinstance(text, str) and "{{" in text and "secrets." in text
