"""What an AI provider does for ProcOS: the one interface its adapters have.

A package adds a kind of provider by the entry point group `procos.providers`: each entry names a function of a
`Profile` that returns a `Provider`. Choice, limits, breaker, budgets, kept answers and schema checks stand around it
once, and are no adapter's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import timedelta

    from tasks.ai.conversation import Answer, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do with a model; None where that is not known."""

    context_window: int | None = None
    """Tokens of question and answer together."""
    json_schema: bool = True
    tools: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the settings say of one provider; the `…_setting` fields name what an operator would change."""

    name: str
    kind: str
    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout: timedelta
    first_token_timeout: timedelta
    token_timeout: timedelta
    health_timeout: timedelta
    capabilities: Capabilities
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    at_once: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    """US dollars for a million tokens."""
    options: Mapping[str, Any] = field(default_factory=dict)
    address_setting: str
    key_setting: str
    model_setting: str

    @property
    def address(self) -> str:
        """The address for people: without the user and password one may carry."""
        scheme, divider, rest = self.base_url.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}{divider}{authority.rpartition('@')[2]}{slash}{path}"

    @property
    def place(self) -> str:
        """Name and address, as errors say it."""
        return f"{self.name} at {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What an adapter looks at while it asks and waits, and whom it tells how that goes."""

    is_cancelled: Callable[[], bool] = lambda: False
    said: Callable[[str], None] = lambda _: None
    """Called with each piece of text as it arrives; for those who watch, the answer is what is returned."""
    declined: Callable[[], Collection[str]] = frozenset
    """Returns what the provider is known to decline of a request, so that it is left out."""
    declines: Callable[[str], None] = lambda _: None
    """Called with a part of a request that was declined, before the question is sent again without it: for that is one
    more request. Where the limits have no room for it now, it raises what ends the call."""


class Provider(Protocol):
    """One AI provider."""

    @property
    def profile(self) -> Profile:
        """What the settings say of it."""

    def complete(self, question: Question, *, within: timedelta, watch: Watch) -> Answer:
        """Ask, streaming inside where the server streams, and return the whole answer.

        Raises:
            TaskError: of our taxonomy, whatever went wrong; the table is in `docs/ai.md`.
            StepCancelled: the step was cancelled before the answer was there; the server was let go within a second.
        """

    def health(self) -> str:
        """Return why the provider cannot be used now, or nothing; cheap, and within its health timeout."""

    def estimate_tokens(self, text: str) -> int:
        """Return about how many tokens a text is; rather too many than too few."""
