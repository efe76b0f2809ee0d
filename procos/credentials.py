"""The credentials an installation runs with, so that its log lines can be kept free of them.

Passwords, tokens and keys of the settings, and the passwords inside addresses. Left out are connections and secrets by
name: these are told to the logs when a task is handed one (`tasks.secrets`). Called by whoever configures the logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from procos.settings import Settings

SHORTEST = 8
"""Characters; what is shorter is a default such as `guest` or `demo`, and stands in half of all lines anyway."""
BY_NAME = {"connections", "named_secrets"}


def credentials_in(settings: Settings) -> frozenset[str]:
    """Return every password, token and key of the settings, but for those a task asks for by name."""
    providers = [
        settings.openai.base_url,
        settings.ollama.url or "",
        *(each.url for each in settings.providers.values()),
    ]
    texts = [settings.broker.url, settings.redis.url, *providers, *_secrets_of(settings)]
    found = {*_secrets_of(settings), *(password for text in texts for password in _passwords_in(text))}
    return frozenset(each for each in found if len(each) >= SHORTEST)


def _secrets_of(section: BaseModel) -> Iterator[str]:
    for name, value in section:
        if name not in BY_NAME:
            yield from _secrets_in(value.values() if isinstance(value, dict) else [value])


def _secrets_in(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets_of(value)


def _passwords_in(text: str) -> Iterator[str]:
    """Find the password of an address, as it stands there and as it is meant."""
    try:
        password = urlsplit(text).password
    except ValueError:  # a secret that is no address at all
        return
    if password:
        yield from (password, unquote(password))
