"""The settings whose names users choose themselves: providers, connections and secrets.

    PROCOS_PROVIDERS__MISTRAL__URL=https://…        a field of the provider "mistral"
    PROCOS_CONNECTIONS__CRM__URL=https://…          a field of the connection "crm"
    PROCOS_SECRETS__CRM_TOKEN=…                     the secret CRM_TOKEN

Two underscores divide, so that a name may hold one. `procos.settings` puts what is found here into the tree.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from procos.environment_names import PREFIX
from procos.provider_sections import ProviderSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROVIDERS, CONNECTIONS, SECRETS = "PROVIDERS", "CONNECTIONS", "SECRETS"
FORMS = {
    PROVIDERS: "PROCOS_PROVIDERS__<NAME>__<FIELD>",
    CONNECTIONS: "PROCOS_CONNECTIONS__<NAME>__<FIELD>",
    SECRETS: "PROCOS_SECRETS__<NAME>",
}
_NAME = "[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*"
_OF_A_GROUP = re.compile(rf"{PREFIX}({PROVIDERS}|{CONNECTIONS}|{SECRETS})__")
_FIELD = re.compile(rf"{PREFIX}({PROVIDERS}|{CONNECTIONS})__({_NAME})__({_NAME})")
_SECRET = re.compile(rf"{PREFIX}{SECRETS}__({_NAME})")
TAKEN = {"openai", "ollama", "auto", "none"}
"""Names of providers that mean something else."""


def is_named_by_user(name: str) -> bool:
    """Whether a PROCOS_ name is one of a group whose members users name."""
    return _OF_A_GROUP.match(name) is not None


def named_by_users(found: Mapping[str, str]) -> dict[str, Any]:
    """Return the providers, connections and secrets among these names, as fields of the settings."""
    groups: dict[str, dict[str, dict[str, str]]] = {PROVIDERS: {}, CONNECTIONS: {}}
    secrets: dict[str, str] = {}
    for name, value in found.items():
        if field := _FIELD.fullmatch(name):
            groups[field[1]].setdefault(field[2].lower(), {})[field[3].lower()] = value
        elif secret := _SECRET.fullmatch(name):
            secrets[secret[1]] = value
    return {"providers": groups[PROVIDERS], "connections": groups[CONNECTIONS], "named_secrets": secrets}


def wrong_names(names: Iterable[str]) -> Iterator[str]:
    """Say what is wrong with names of the groups: their form, or a field there is not."""
    for name in names:
        group = _OF_A_GROUP.match(name)
        field = _FIELD.fullmatch(name)
        if group and not field and not _SECRET.fullmatch(name):
            yield f"{name} is not a setting; expected {FORMS[group[1]]}, in capitals"
        elif field and field[1] == PROVIDERS:
            yield from _wrong_of_provider(name, field[2].lower(), field[3].lower())


def _wrong_of_provider(name: str, provider: str, field: str) -> Iterator[str]:
    if provider in TAKEN:
        yield f"{name}: a provider cannot be called {provider!r}; choose another name"
    elif field not in ProviderSettings.model_fields:
        near = difflib.get_close_matches(field, ProviderSettings.model_fields, n=1)
        hint = f"; did you mean {name.removesuffix(field.upper())}{near[0].upper()}?" if near else ""
        yield f"{name} is not a setting{hint}"
