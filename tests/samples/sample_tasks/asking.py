"""A task of one's own that asks a model, and does something with the answer afterwards."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003  # pydantic reads it

from pydantic import BaseModel

from tasks.ai.asking import ask
from tasks.ai.conversation import Message, Role
from tasks.ai.reply import Wish
from tasks.task import TaskContext, process_task


class Asked(BaseModel):
    """What to ask, where to note that the answer is there, and how long to work with it."""

    question: str
    effects_file: Path
    seconds: float = 0.0


@process_task(topic="sample_ask")
def sample_ask(asked: Asked, context: TaskContext) -> dict[str, object]:
    """Ask a question, note how that went, and go on for a while."""
    said = (Message(role=Role.USER, content=asked.question),)
    wish = Wish(messages=said, provider="auto", model=None, max_tokens=20, temperature=0.0)
    reply = ask(wish, context)
    with asked.effects_file.open("a", encoding="utf-8") as effects:
        effects.write(f"{reply.attempts[-1].outcome}\n")
    is_first_run = asked.effects_file.read_text(encoding="utf-8").count("\n") == 1
    if is_first_run:
        time.sleep(asked.seconds)
    return {"answer": reply.answer.text}
