"""A step with a question and an answer, its route, and a heartbeat that shows nothing to nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from procos.routes import Route

if TYPE_CHECKING:
    from tasks.runs import Run

ROUTE = Route(task_name="procos.sample", queue="ai", module="m", max_starts=3)


class Question(BaseModel):
    text: str = Field(max_length=10)
    number: int = 7


class Answer(BaseModel):
    answer: str
    at: datetime = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Beating:
    """A heartbeat that shows nothing to nobody."""

    runs: list[Run] = field(default_factory=list)

    def add(self, run: Run) -> None:
        self.runs.append(run)

    def remove(self, run: Run) -> None:
        self.runs.remove(run)
