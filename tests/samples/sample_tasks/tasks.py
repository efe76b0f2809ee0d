"""The tasks of the sample package. Each may run twice: effects are counted by whoever reads the effects file."""

import os
import time
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from tasks.task import TaskContext, process_task


class Nothing(BaseModel):
    """No input."""


class Sleep(BaseModel):
    """How long to work, and where to note that it was done."""

    seconds: float
    effects_file: Path | None = None


class Fail(BaseModel):
    """How to fail: by which error, or for how many starts."""

    error: str = "transient"
    effects_file: Path


class Anything(BaseModel):
    """Every variable there is."""

    model_config = ConfigDict(extra="allow")


@process_task(topic="sample_noop")
def noop(_: Nothing) -> None:
    """Do nothing."""


@process_task(topic="sample_sleep")
def sleep(order: Sleep, context: TaskContext) -> dict[str, object]:
    """Work for a while, then note the effect."""
    _note(order.effects_file, f"start {context.external_task_id}")
    time.sleep(order.seconds)
    _note(order.effects_file, f"effect {context.external_task_id}")
    return {"slept": order.seconds}


@process_task(topic="sample_wait")
def wait(order: Sleep, context: TaskContext) -> None:
    """Wait for somebody to say that the step was cancelled."""
    _note(order.effects_file, f"start {context.external_task_id}")
    while context.remaining() > timedelta(0):
        time.sleep(0.1)
        if context.is_cancelled():
            _note(order.effects_file, "told")
        context.raise_if_cancelled()


@process_task(topic="sample_stubborn")
def stubborn(order: Sleep, context: TaskContext) -> None:
    """Work for a while, whatever anybody says."""
    _note(order.effects_file, f"start {context.external_task_id}")
    end = time.monotonic() + order.seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except Exception as error:  # noqa: BLE001  # the point of the task
            _note(order.effects_file, f"swallowed {type(error).__name__}")
    _note(order.effects_file, f"effect {context.external_task_id}")


@process_task(topic="sample_limited")
def limited(order: Sleep) -> None:
    """Work for longer than the route allows."""
    time.sleep(order.seconds)


@process_task(topic="sample_values")
def values(given: Anything) -> dict[str, object]:
    """Give every variable back under a new name."""
    return {f"{name}_back": value for name, value in (given.model_extra or {}).items()}


@process_task(topic="sample_fail")
def fail(order: Fail, context: TaskContext) -> dict[str, object]:
    """Fail as asked; `twice` succeeds at the third start."""
    _note(order.effects_file, f"start {context.external_task_id}")
    starts = order.effects_file.read_text().count("start")
    match order.error:
        case "twice" if starts > 2:
            return {"tried": starts}
        case "business":
            raise BusinessError("OUT_OF_STOCK", "nothing left")
        case "permanent":
            raise PermanentError("no retry can help")
        case "postpone" if starts > 1:
            return {"tried": starts}
        case "postpone":
            raise RateLimited("come back", retry_in=timedelta(seconds=1))
        case "exit":
            os._exit(1)
        case "nan":
            return {"answer": float("nan")}
        case "long":
            return {"answer": "x" * 5000}
    raise TransientError("not this time")


def _note(path: Path | None, line: str) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(line + "\n")
