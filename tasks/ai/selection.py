"""Chooses an AI provider, and nothing else: no settings, no network, the same answer every time, and why.

Each candidate that could answer has a place in an order of preference; the first that answers is chosen. The order is
that of the guide's rule (long or complex questions prefer OpenAI, everything else Ollama, which costs nothing; others
follow), or that of a policy table (`tasks.ai.policy`). Who lacks what the question needs, has failed too often, has no
headroom or costs too much is left out, with the reason. `tasks.ai.providers` supplies the facts, for the topic
`provider_selection` and for `ai_query` with provider `auto`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.ai.preference import Preference
from tasks.ai.provider import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tasks.ai.policy import Policy
    from tasks.ai.question_features import Features

AUTO = "auto"
OPENAI = "openai"
OLLAMA = "ollama"
NONE = "none"

LONG_QUESTION = 2000
"""Characters above which a question is long."""

COMPLEX_QUESTION = 0.8
"""Complexity score (0 to 1) above which a question is complex."""

NOT_CONFIGURED = "is not configured"
NO_ANSWER = "does not answer"
NO_SCHEMA = "takes no JSON Schema of its own"
"""A lack that only puts a provider behind others: it can be told the schema in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider, and what is known of it now."""

    name: str
    is_configured: bool = True
    capabilities: Capabilities = field(default_factory=Capabilities)
    breaker_is_open: bool = False
    headroom: float = 1.0
    """How much of its limits is left, 0 to 1."""
    price: float | None = None
    """US dollars this question is estimated to cost; None where that is not known."""
    is_affordable: bool = True
    is_local: bool = False
    answers: Callable[[], bool] = lambda: True
    """Asked only where it decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A provider's name, or `none`, and the reason in words; then what is to be said of all candidates."""

    provider: str
    reason: str
    ranked: tuple[str, ...] = ()
    """Those that can answer, the best first. Those after the chosen one were not asked whether they do."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """1 for the most preferred of them, 1/2 for the next, and so on; equal for equals, 0 for who cannot answer."""
    reasons: Mapping[str, str] = field(default_factory=dict)


def select(features: Features, candidates: Iterable[Candidate], policy: Policy | None = None) -> Choice:
    """Return the provider for a question, by a policy table or by the guide's rule.

    Equals are ordered by price, then by headroom, then by name. Where nobody can answer now, the best of those who may
    later is chosen: what asking it comes to, a postponement, a retry or a BPMN error, is for the call to say.
    """
    preference = policy.preference(features) if policy else guide(features)
    known = {candidate.name: candidate for candidate in candidates}
    good = {name: next(_lasting(each, features, preference), "") for name, each in known.items()}
    lacks = {name: lack or next(_passing(known[name], features), "") for name, lack in good.items()}
    tiers = {name: _tier(known[name], features, preference) for name, lack in lacks.items() if not lack}
    ranked = sorted(tiers, key=lambda name: (tiers[name], *_cost(known[name]), name))
    while ranked and not known[ranked[0]].answers():
        lacks[ranked.pop(0)] = NO_ANSWER
    waiting = sorted(
        (name for name in known if lacks[name] and not good[name] and lacks[name] != NO_ANSWER),
        key=lambda name: (_tier(known[name], features, preference), *_cost(known[name]), name),
    )
    chosen = next(iter([*ranked, *waiting]), NONE)
    lacks |= {name: NO_SCHEMA for name in ranked if tiers[name][0]}
    reason = (_said if policy else _said_by_guide)(ranked[0] if ranked else NONE, lacks, preference)
    if chosen != NONE and not ranked:
        reason += f"; the question is for {chosen} all the same, which says when"
    levels = sorted({tiers[name] for name in ranked})
    return Choice(
        provider=chosen,
        reason=reason,
        ranked=tuple(ranked),
        scores={name: round(1 / (1 + levels.index(tiers[name])), 3) if name in ranked else 0.0 for name in known},
        reasons={name: reason if name == chosen else lack or f"comes after {chosen}" for name, lack in lacks.items()},
    )


def guide(features: Features) -> Preference:
    """Return the order of the guide's rule; providers it does not know of come last."""
    demand = _demand(features)
    order = (OPENAI, OLLAMA) if demand else (OLLAMA, OPENAI)
    return Preference(groups=[[name] for name in order], why=demand, is_complete=False)


def _demand(features: Features) -> str:
    if features.characters > LONG_QUESTION:
        return f"the question is longer than {LONG_QUESTION} characters"
    if features.complexity > COMPLEX_QUESTION:
        return f"the complexity is above {COMPLEX_QUESTION}"
    return ""


def _lasting(candidate: Candidate, features: Features, preference: Preference) -> Iterator[str]:
    """Say what keeps a provider from ever answering this question."""
    if not candidate.is_configured:
        yield NOT_CONFIGURED
    if preference.is_complete and not any(candidate.name in group for group in preference.groups):
        yield "is not in the policy for such questions"
    if features.needs_tools and not candidate.capabilities.tools:
        yield "takes no tools"


def _passing(candidate: Candidate, features: Features) -> Iterator[str]:
    """Say why another provider should rather be asked now; where there is none, asking says what is to be done."""
    window = candidate.capabilities.context_window
    if window is not None and features.context > window:
        yield f"has room for {window} tokens, and about {features.context} are needed"
    if candidate.breaker_is_open:
        yield "has failed too often in the last while"
    if candidate.headroom <= 0:
        yield "has reached its limits"
    if not candidate.is_affordable:
        yield "would cost more than the budget allows"


def _tier(candidate: Candidate, features: Features, preference: Preference) -> tuple[bool, int]:
    """Return how far behind the most preferred a provider stands; who has to be told a JSON Schema in words is last."""
    is_told = features.needs_json and not candidate.capabilities.json_schema
    places = [place for place, group in enumerate(preference.groups) if candidate.name in group]
    return is_told, places[0] if places else len(preference.groups)


def _cost(candidate: Candidate) -> tuple[float, float]:
    otherwise = 0.0 if candidate.is_local else math.inf
    return (otherwise if candidate.price is None else candidate.price), -candidate.headroom


def _said(chosen: str, lacks: Mapping[str, str], preference: Preference) -> str:
    """Say why, after a policy table."""
    passed = [f"{name} {lacks[name]}" for group in preference.groups for name in group if lacks.get(name)]
    others = "".join(f"; {each}" for each in passed)
    if chosen == NONE:
        return f"{preference.why}, and no provider for it can answer{others}"
    return f"{preference.why}, and {chosen} is the first for it that can answer{others}"


def _said_by_guide(chosen: str, lacks: Mapping[str, str], preference: Preference) -> str:
    """Say why, after the guide's rule and in its words; what the guide does not know is added."""
    demand = preference.why
    openai = lacks.get(OPENAI, NOT_CONFIGURED)
    has_no_key = openai == NOT_CONFIGURED
    if chosen == OPENAI:
        ollama = NO_SCHEMA if lacks.get(OLLAMA) == NO_SCHEMA else "is not available"
        return f"{demand} and OpenAI is configured" if demand else f"Ollama {ollama} and OpenAI is configured"
    if chosen == OLLAMA:
        lack = "no OpenAI key" if has_no_key else f"OpenAI {openai}"
        return "Ollama answers" + (f"; {demand}, but {lack}" if demand else "")
    absent = f"OpenAI {'has no key' if has_no_key else openai} and Ollama is not available"
    return absent if chosen == NONE else f"{absent}, and {chosen} can answer"
