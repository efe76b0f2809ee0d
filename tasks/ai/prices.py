"""What a request to an AI provider costs, in US dollars.

The prices of the settings count; else what costs nobody anything is free: Ollama, and any server on loopback; else the
table that comes with genai-prices, whose version is told with each cost. Nobody here asks the network for a newer one.
A price that is not known is said to be unknown, never guessed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.ai.provider import Profile

FREE, SETTINGS = "free", "settings"
OLLAMA = "ollama"
A_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An amount, None where it is not known, and who says so: genai-prices with its version, the settings, or free."""

    amount_usd: Decimal | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    question: int
    cached: int
    answer: int


def is_free(profile: Profile) -> bool:
    """Whether nothing this provider is asked costs anything."""
    if profile.input_price is not None or profile.output_price is not None:
        return profile.input_price == 0 and profile.output_price == 0
    return profile.kind == OLLAMA or _is_on_loopback(profile.base_url)


def price_of(profile: Profile, model: str, usage: Mapping[str, int]) -> Cost:
    """Return what so many tokens of a model cost; counts by OpenAI's names, both of which must be there.

    For an estimate, hand it what the question may amount to, and `max_tokens` as the answer.
    """
    if is_free(profile):
        return Cost(amount_usd=Decimal(0), source=SETTINGS if profile.input_price == 0 else FREE)
    counts = _counts(usage)
    if profile.input_price is not None or profile.output_price is not None:
        return Cost(amount_usd=_by_settings(profile, counts), source=SETTINGS)
    return _by_table(profile, model, counts)


def _by_settings(profile: Profile, counts: _Counts | None) -> Decimal | None:
    # One price alone is no price: to take the other for 0 would be to guess. Cached tokens cost what others cost.
    if counts is None or profile.input_price is None or profile.output_price is None:
        return None
    question = Decimal(str(profile.input_price)) * counts.question
    return (question + Decimal(str(profile.output_price)) * counts.answer) / A_MILLION


def _by_table(profile: Profile, model: str, counts: _Counts | None) -> Cost:
    import genai_prices  # a table of several thousand models

    source = f"genai-prices {genai_prices.__version__}"
    if counts is None:
        return Cost(amount_usd=None, source=source)
    usage = genai_prices.Usage(
        input_tokens=counts.question, cache_read_tokens=counts.cached, output_tokens=counts.answer
    )
    try:
        # By the address alone: a model of the same name on a server of one's own has another price, or none.
        calculation = genai_prices.calc_price(usage, model, provider_api_url=profile.address)
    except (LookupError, ValueError):
        return Cost(amount_usd=None, source=source)
    return Cost(amount_usd=calculation.total_price, source=source)


def _counts(usage: Mapping[str, int]) -> _Counts | None:
    question, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if question is None or answer is None:
        return None
    question, answer = max(question, 0), max(answer, 0)
    return _Counts(question=question, cached=min(max(usage.get("cached_tokens", 0), 0), question), answer=answer)


def _is_on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
