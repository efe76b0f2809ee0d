"""The providers there are: the two built-in ones, those of the settings, and kinds that installed packages add.

`openai` counts as configured when its key is set, `ollama` when its address is; further ones are named by
`PROCOS_PROVIDERS__<NAME>__…`. Asking for one that is unknown, or known and not configured, says which there are.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from procos.domain.errors import PermanentError
from tasks.ai.provider import Capabilities, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procos.provider_sections import ProviderSection, ProviderSettings
    from procos.settings import Settings
    from tasks.ai.provider import Provider

OPENAI, OLLAMA = "openai", "ollama"
ENTRY_POINTS = "procos.providers"
TO_CONFIGURE = {OPENAI: "PROCOS_OPENAI_API_KEY", OLLAMA: "PROCOS_OLLAMA_URL"}
"""The setting that makes each built-in provider a configured one."""
NO_PROVIDER = "none"
TIMES = ("timeout", "first_token_timeout", "token_timeout", "health_timeout")
LIMITS = ("requests_per_minute", "tokens_per_minute", "at_once", "input_price", "output_price")


def profiles(settings: Settings) -> Mapping[str, Profile]:
    """Return what is known of every configured provider, the built-in ones first."""
    found = [_openai(settings), _ollama(settings)]
    found += [_named(name, section) for name, section in settings.providers.items()]
    return {profile.name: profile for profile in found if profile is not None}


def known_names(settings: Settings) -> list[str]:
    """Return the names of all providers, the built-in ones first, whether they are configured or not."""
    return list(dict.fromkeys([*TO_CONFIGURE, *settings.providers]))


def profile_named(name: str, settings: Settings) -> Profile:
    """Return what is known of one provider.

    Raises:
        PermanentError: it is unknown, or known and not configured; the message lists those that are.
    """
    configured = profiles(settings)
    if name in configured:
        return configured[name]
    listed = ", ".join(configured) or NO_PROVIDER
    if name in TO_CONFIGURE:
        raise PermanentError(
            f"AI provider {name!r} is not configured: set {TO_CONFIGURE[name]}; configured: {listed}",
            code="PROVIDER_NOT_CONFIGURED",
        )
    known = known_names(settings)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise PermanentError(
        f"unknown AI provider {name!r}; known: {', '.join(known)}; configured: {listed}{hint}", code="UNKNOWN_PROVIDER"
    )


def provider_of(profile: Profile) -> Provider:
    """Return the adapter of a provider; cheap, what is costly is shared within the process.

    Raises:
        PermanentError: no installed package knows its kind.
    """
    kinds = _kinds()
    if profile.kind not in kinds:
        raise PermanentError(
            f"AI provider {profile.name!r} is of kind {profile.kind!r}; known: {', '.join(sorted(kinds))}",
            code="UNKNOWN_PROVIDER",
        )
    return kinds[profile.kind](profile)


@cache
def _kinds() -> Mapping[str, Callable[[Profile], Provider]]:
    added = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    return {**{name: _loaded(entry) for name, entry in added.items()}, OPENAI: _openai_kind, OLLAMA: _ollama_kind}


def _loaded(entry: object) -> Callable[[Profile], Provider]:
    def build(profile: Profile) -> Provider:
        provider: Provider = entry.load()(profile)  # type: ignore[attr-defined]
        return provider

    return build


def _openai_kind(profile: Profile) -> Provider:
    from tasks.ai.providers.openai_compatible import OpenaiCompatible  # openai takes a second to import

    return OpenaiCompatible(profile)


def _ollama_kind(profile: Profile) -> Provider:
    from tasks.ai.providers.ollama import Ollama

    return Ollama(profile)


def _openai(settings: Settings) -> Profile | None:
    section = settings.openai
    if section.api_key is None:
        return None
    return Profile(
        name=OPENAI,
        kind=OPENAI,
        base_url=section.base_url.rstrip("/"),
        api_key=section.api_key.get_secret_value(),
        model=section.model,
        address_setting="PROCOS_OPENAI_BASE_URL",
        key_setting="PROCOS_OPENAI_API_KEY",
        model_setting="PROCOS_OPENAI_MODEL",
        **_facts(section),
    )


def _ollama(settings: Settings) -> Profile | None:
    section = settings.ollama
    if section.url is None:
        return None
    return Profile(
        name=OLLAMA,
        kind=OLLAMA,
        base_url=section.url.rstrip("/"),
        api_key="",
        model=section.model,
        address_setting="PROCOS_OLLAMA_URL",
        key_setting="PROCOS_OLLAMA_URL",
        model_setting="PROCOS_OLLAMA_MODEL",
        **_facts(section),
    )


def _named(name: str, section: ProviderSettings) -> Profile:
    prefix = f"PROCOS_PROVIDERS__{name.upper()}__"
    return Profile(
        name=name,
        kind=section.kind,
        base_url=section.url.rstrip("/"),
        api_key=section.api_key.get_secret_value() if section.api_key else "",
        model=section.model,
        options=section.options or {},
        address_setting=f"{prefix}URL",
        key_setting=f"{prefix}API_KEY",
        model_setting=f"{prefix}MODEL",
        **_facts(section),
    )


def _facts(section: ProviderSection) -> dict[str, Any]:
    """Return what the settings of every provider say in the same words."""
    times = {name: timedelta(seconds=getattr(section, name)) for name in TIMES}
    return (
        times
        | {name: getattr(section, name) for name in LIMITS}
        | {
            "capabilities": Capabilities(
                context_window=section.context_window, json_schema=section.json_schema, tools=section.tools
            )
        }
    )
