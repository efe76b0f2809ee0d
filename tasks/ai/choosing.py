"""Chooses who is asked: gathers what is known of each provider now, and lets the policy decide.

The rule is that of `tasks.ai.selection`, or the table of PROCOS_AI_POLICY. What breaker, limits and prices say of each
provider counts with both. The topic `provider_selection` and every question with provider `auto` come by here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from tasks.ai.breaker import breakers
from tasks.ai.limits import limits
from tasks.ai.policy import policy_from
from tasks.ai.prices import is_free, price_of
from tasks.ai.providers.registry import OLLAMA, known_names, profile_named, profiles, provider_of
from tasks.ai.question_features import features_of
from tasks.ai.selection import AUTO, NONE, Candidate, Choice, select

if TYPE_CHECKING:
    from collections.abc import Collection

    from procos.settings import Settings
    from tasks.ai.provider import Profile
    from tasks.ai.question_features import Features
    from tasks.ai.reply import Wish

OPEN = "open"
NEED_JSON, NEED_TOOLS = "json", "tools"


def those_who_may_answer(wish: Wish, settings: Settings) -> list[Profile]:
    """Return the provider a wish names, or the policy chooses, and those of PROCOS_AI_FALLBACK, in their order.

    Raises:
        PermanentError: there is none, one of them is not configured, or none of them can do what is wished for.
    """
    first = wish.provider
    if first == AUTO:
        needs = [NEED_JSON] * (wish.json_schema is not None) + [NEED_TOOLS] * bool(wish.tools)
        first = select_provider(
            wish.text, wish.complexity_score, settings, needs=needs, answer_tokens=wish.max_tokens
        ).provider
    names = dict.fromkeys([first, *settings.ai.fallback])
    found = [profile_named(name, settings) for name in names]
    able = [profile for profile in found if profile.capabilities.tools or not wish.tools]
    if not able:
        raise PermanentError(f"none of {', '.join(names)} may be offered tools", code="NO_PROVIDER")
    return able


def select_provider(
    question: str,
    complexity_score: float,
    settings: Settings,
    *,
    needs: Collection[str] = (),
    answer_tokens: int = 0,
) -> Choice:
    """Choose among what is configured and answers now; `needs` are `json` and `tools`.

    Raises:
        PermanentError: no provider can be asked, or the policy table is wrong.
    """
    configured = profiles(settings)
    known = known_names(settings)
    policy = policy_from(settings.ai.policy, known=known) if settings.ai.policy else None
    features = features_of(
        question,
        complexity=complexity_score,
        needs_json=NEED_JSON in needs,
        needs_tools=NEED_TOOLS in needs,
        answer_tokens=answer_tokens,
    )
    absent = [Candidate(name=name, is_configured=False) for name in known if name not in configured]
    candidates = [*(_candidate(profile, features, settings) for profile in configured.values()), *absent]
    choice = select(features, candidates, policy)
    if choice.provider == NONE:
        raise PermanentError(choice.reason if policy else _no_provider(choice, settings), code="NO_PROVIDER")
    return choice


def _candidate(profile: Profile, features: Features, settings: Settings) -> Candidate:
    """Return what is known of a provider now; what is not limited is not looked up."""
    is_limited = profile.requests_per_minute or profile.tokens_per_minute or profile.at_once
    counts = {"prompt_tokens": features.tokens, "completion_tokens": features.answer_tokens or features.tokens}
    price = price_of(profile, profile.model, counts)
    most = settings.ai.budget_call
    return Candidate(
        name=profile.name,
        capabilities=profile.capabilities,
        breaker_is_open=breakers(settings.redis.url).state(profile.name) == OPEN,
        headroom=limits(settings.redis.url).headroom(profile) if is_limited else 1.0,
        price=None if price.amount_usd is None else float(price.amount_usd),
        is_affordable=most is None or price.amount_usd is None or float(price.amount_usd) <= most,
        is_local=is_free(profile),
        # The guide asks Ollama whether it is there; others show it by their answers, and their breakers remember.
        answers=(lambda: not provider_of(profile).health()) if profile.kind == OLLAMA else (lambda: True),
    )


def _no_provider(choice: Choice, settings: Settings) -> str:
    troubles = [f"{name} {reason}" for name, reason in choice.reasons.items() if "not configured" not in reason]
    if not troubles:
        return "no AI provider is configured: set PROCOS_OPENAI_API_KEY, or PROCOS_OLLAMA_URL"
    if settings.openai.api_key is None and len(troubles) == 1 and choice.reasons.get("ollama") == "does not answer":
        return (
            "no AI provider is available: the Ollama server of PROCOS_OLLAMA_URL does not answer /api/tags,"
            " and PROCOS_OPENAI_API_KEY is not set"
        )
    return f"no AI provider is available: {'; '.join(troubles)}"
