"""The steps. Each may run twice: that is what the suite counts."""

import json
import os
import signal
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from procos.domain.errors import BusinessError, TransientError
from tasks.task import TaskContext, process_task

FAILURES = 2
DAWDLE_SECONDS, LOOK_SECONDS = 2.5, 0.1


class Step(BaseModel):
    """How long a step works, and where it notes its effect."""

    seconds: float
    effects_file: Path


@process_task(topic="chaos_work")
def work(step: Step, context: TaskContext) -> dict[str, object]:
    """Work for a moment."""
    return _effect(step, context)


@process_task(topic="chaos_think")
def think(step: Step, context: TaskContext) -> dict[str, object]:
    """Work for a moment, on a thread."""
    return _effect(step, context)


@process_task(topic="chaos_mend")
def mend(step: Step, context: TaskContext) -> dict[str, object]:
    """Do what the model does after a BPMN error."""
    return _effect(step, context, seconds=0.0)


@process_task(topic="chaos_note")
def note(step: Step, context: TaskContext) -> dict[str, object]:
    """Do what the model does after the timer, or after the step the timer guards."""
    return _effect(step, context, seconds=0.0)


@process_task(topic="chaos_settle")
def settle(step: Step, context: TaskContext) -> dict[str, object]:
    """Do what comes when all branches have joined."""
    return _effect(step, context, seconds=0.05)


@process_task(topic="chaos_flaky")
def flaky(step: Step, context: TaskContext) -> dict[str, object]:
    """Fail twice, then succeed."""
    _write(step, context, "start")
    if _failures(step, context) < FAILURES:
        _write(step, context, "failed")
        raise TransientError("not this time")
    _write(step, context, "effect")
    return {}


@process_task(topic="chaos_refuse")
def refuse(step: Step, context: TaskContext) -> dict[str, object]:
    """End in a BPMN error, which the model catches."""
    _effect(step, context, seconds=0.0)
    raise BusinessError("OUT_OF_STOCK", "nothing left")


@process_task(topic="chaos_dawdle")
def dawdle(step: Step, context: TaskContext) -> dict[str, object]:
    """Work for longer than the boundary timer allows, unless told to stop."""
    _write(step, context, "start")
    deadline = time.monotonic() + DAWDLE_SECONDS
    while time.monotonic() < deadline and not context.is_cancelled():
        threading.Event().wait(LOOK_SECONDS)
    _write(step, context, "cancelled" if context.is_cancelled() else "effect")
    return {}


@process_task(topic="chaos_poison")
def poison(step: Step, context: TaskContext) -> None:
    """Kill the process this runs in."""
    _write(step, context, "start")
    os.kill(os.getpid(), signal.SIGKILL)


def _effect(step: Step, context: TaskContext, *, seconds: float | None = None) -> dict[str, object]:
    _write(step, context, "start")
    threading.Event().wait(step.seconds if seconds is None else seconds)
    _write(step, context, "effect")
    return {}


def _failures(step: Step, context: TaskContext) -> int:
    written = step.effects_file.read_text()
    # Another step may be in the midst of its line.
    lines = map(json.loads, written[: written.rfind("\n") + 1].splitlines())
    mine = (context.business_key, context.topic)
    return sum(line["word"] == "failed" and (line["instance"], line["activity"]) == mine for line in lines)


def _write(step: Step, context: TaskContext, word: str) -> None:
    """Append one line and bring it to the disk: a process killed right after has had its effect."""
    line = {
        "word": word,
        "instance": context.business_key,
        "activity": context.topic,
        "external_task_id": context.external_task_id,
        "celery_id": context.celery_id,
        "pid": os.getpid(),
        "at": time.time(),
    }
    file = os.open(step.effects_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
