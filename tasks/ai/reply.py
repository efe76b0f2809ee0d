"""What comes of asking: the answer, and every attempt that led to it.

`tasks.ai.asking` makes a reply of a wish; the topics make variables of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.conversation import Answer, Message, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a topic wants asked, before it is known whom."""

    messages: tuple[Message, ...]
    provider: str
    model: str | None
    max_tokens: int
    temperature: float
    complexity_score: float = 0.0
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()

    @property
    def text(self) -> str:
        """Everything said, for the choice of a provider."""
        return "\n".join(message.content for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One provider that was asked, or passed over; `outcome` is `answered`, `kept`, or the code of an error."""

    provider: str
    model: str
    outcome: str
    milliseconds: int
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: Decimal | None = None
    price_source: str = ""

    def as_variable(self) -> dict[str, Any]:
        """Return it as a process shows it."""
        return {
            "provider": self.provider,
            "model": self.model,
            "outcome": self.outcome,
            "response_time_ms": self.milliseconds,
            "usage": dict(self.usage),
            "cost": None if self.cost is None else float(self.cost),
            "price_source": self.price_source,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that can be handed on; `value` is what a schema asked for, parsed and checked."""

    answer: Answer
    provider: str
    milliseconds: int
    attempts: tuple[Attempt, ...]
    value: Any = None

    @property
    def usage(self) -> Mapping[str, int]:
        """The tokens of all attempts together, by name."""
        total: dict[str, int] = {}
        for attempt in self.attempts:
            for name, count in attempt.usage.items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def cost(self) -> Decimal | None:
        """US dollars of all attempts together; None where one of them is not known."""
        known = [attempt.cost for attempt in self.attempts if attempt.cost is not None]
        return sum(known, start=Decimal(0)) if len(known) == len(self.attempts) else None
