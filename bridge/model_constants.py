"""Which variables of a fetched step are constants of its model: in these, and in no others, may it name secrets.

A worker cannot know where a value is from, and a text of a user's must not be taken for one of the model's. So the
bridge compares: what a step of a topic that may have secrets seems to name one in is looked up in the model. Steps
of other topics, and texts that name none, cost nothing. What cannot be looked up now is put off, never guessed at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bridge.next_try import policy_for
from procos import metrics
from procos.domain.errors import EngineError, UnreachableError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from procos.domain.dispatch import DispatchRef
    from procos.domain.external_task import ExternalTask
    from procos.domain.variables import TypedValue
    from procos.engine.protocol import Engine
    from procos.routes import Route

PUT_OFF = timedelta(seconds=15)

log = get_logger(__name__)


class ModelConstants:
    """Tells constants from other variables; `topics` are those that may have secrets, `read` knows the model."""

    def __init__(self, topics: Container[str], read: Callable[[ExternalTask], Mapping[str, str]]) -> None:
        self._topics, self._read = topics, read

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


def put_off(engine: Engine, ref: DispatchRef, route: Route, error: Exception) -> None:
    """Have a step whose model cannot be read come again, its retries unchanged and the reason in sight."""
    log.warning("external_task.put_off", external_task_id=ref.external_task_id, topic=ref.topic, reason=str(error))
    text = f"put off: its model cannot be read, which must say what it may name secrets in: {error}"
    left = policy_for(ref, route).attempts if ref.retries is None else ref.retries
    try:
        engine.fail(ref.external_task_id, ref.holder, message=text, details=text, retries=left, retry_in=PUT_OFF)
    except (EngineError, UnreachableError) as reason:
        # Its lock runs out, or is taken for an orphan's.
        log.warning("external_task.not_put_off", external_task_id=ref.external_task_id, reason=str(reason))
        metrics.dropped(ref.topic, metrics.Drop.OFFERED_AGAIN)
    else:
        metrics.dropped(ref.topic, metrics.Drop.GIVEN_BACK)


def _may_name_secrets(typed: TypedValue) -> bool:
    # A constant is a String: the engine stores none that would be too long for one.
    text = typed.value
    return typed.type == "String" and isinstance(text, str) and "{{" in text and "secrets." in text
