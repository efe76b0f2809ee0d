"""What an operator has said of AI providers, policies and templates, looked through before a step needs it.

`procos doctor` calls it; no provider is asked anything.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procos.domain.errors import TaskError
from tasks.ai.policy import policy_from
from tasks.ai.prompts.library import library
from tasks.ai.providers.registry import OLLAMA, OPENAI, known_names, profile_named, profiles, provider_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.settings import Settings


def faults_of_ai(settings: Settings) -> Iterator[str]:
    """Say which providers, fallbacks, policy and templates cannot be used here, and why."""
    for look in _looks(settings):
        try:
            look()
        except TaskError as error:
            yield str(error)


def _looks(settings: Settings) -> Iterator[Callable[[], object]]:
    for profile in profiles(settings).values():
        if profile.kind not in {OPENAI, OLLAMA}:  # known, and slow to import
            yield partial(provider_of, profile)
    for name in settings.ai.fallback:
        yield partial(profile_named, name, settings)
    if (policy := settings.ai.policy) is not None:
        yield partial(policy_from, policy, known=known_names(settings))
    yield partial(_read_templates, settings)


def _read_templates(settings: Settings) -> None:
    shelf = library(settings.ai)
    for name in shelf.names():
        shelf.template(name)
