"""What a task may know about the step it serves, beside its input."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from procos.domain.errors import StepCancelled
from procos.domain.redaction import Redaction
from procos.logs import get_logger
from tasks.deeds import Deeds
from tasks.secrets.revealing import connected, is_left_as_text, revealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
    from procos.settings import Settings
    from tasks.blobs import StepBlobs

Value = TypeVar("Value")
Model = TypeVar("Model", bound="BaseModel")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """The step a task serves; `deadline` is a moment of the monotonic clock."""

    external_task_id: ExternalTaskId
    process_instance_id: ProcessInstanceId
    business_key: str | None
    topic: Topic
    celery_id: str
    settings: Settings
    deadline: float
    started_before: bool = False
    """Whether an earlier run of this very dispatch was cut off, and may have done its work, or part of it."""
    cancelled: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    constants: Mapping[str, str] = field(default_factory=dict)
    """Variables the bridge found to be constants of the model that may name secrets, and their texts."""
    handed_out: Redaction = field(default_factory=Redaction, repr=False, compare=False)
    """The secrets this run was handed, which are struck out of its outcome."""
    deeds: Deeds = field(default_factory=Deeds, repr=False, compare=False)
    """What it has done, or begun, that must not be done twice: then no fault has the step tried again."""

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this step: hand it to services that can refuse doubles."""
        return self.external_task_id

    @property
    def blobs(self) -> StepBlobs:
        """The store of large values and files: `put`, `open`, `read`, `text`."""
        from tasks.blobs import StepBlobs

        return StepBlobs(settings=self.settings, process_instance_id=self.process_instance_id)

    def remaining(self) -> timedelta:
        """How long the task may still take; never negative."""
        return timedelta(seconds=max(self.deadline - self.clock(), 0.0))

    def is_cancelled(self) -> bool:
        """Whether the step was cancelled, so that going on would be work for nobody."""
        return self.cancelled()

    def raise_if_cancelled(self) -> None:
        """Stop here if the step was cancelled.

        Raises:
            StepCancelled: it was; no outcome is reported.
        """
        if self.cancelled():
            raise StepCancelled("the step was cancelled")

    def revealed(self, variable: str, value: Value) -> Value:
        """Return the value with the secrets in it that the model names there: a text, or what holds texts.

        It stays as it is unless the variable is a constant of the model: a user's text names no secrets.

        Args:
            variable: the name of the variable.
            value: what the input model made of it.

        Raises:
            PermanentError: the topic may not have a secret it names, or that one cannot be had.
            TransientError: a folder of secrets does not answer now.
        """
        constant = self.constants.get(variable)
        if constant is None:
            if is_left_as_text(value):
                log.info("secret.left_as_text", variable=variable)
            return value
        return revealed(value, constant=constant, topic=self.topic, settings=self.settings, run=self.handed_out)

    def connection(self, name: str, model: type[Model]) -> Model:
        """Return the connection of this name as a model, with the secrets that its fields name.

        Raises:
            PermanentError: there is no such connection, a field is missing or wrong, or a secret cannot be had.
            TransientError: a folder of connections or secrets does not answer now.
        """
        return connected(name, model, settings=self.settings, run=self.handed_out)
