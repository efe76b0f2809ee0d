"""The one step: an integer in, a string out, and as much waiting as the round asks for. It may run twice."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from tasks.task import TaskContext, process_task

TOPIC = os.environ.get("BENCH_TOPIC", "bench")
SECONDS = float(os.environ.get("BENCH_SECONDS", "0"))
RUNS = os.environ.get("BENCH_RUNS")


class Order(BaseModel):
    """What the model hands over."""

    number: int


class Answer(BaseModel):
    """What it gets back."""

    answer: str


@process_task(topic=TOPIC)
def work(order: Order, context: TaskContext) -> Answer:
    """Wait, and answer."""
    if RUNS:
        with Path(RUNS).open("a") as runs:
            runs.write(context.external_task_id + "\n")
    if SECONDS:
        time.sleep(SECONDS)
    return Answer(answer=str(order.number))
