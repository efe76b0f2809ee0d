"""What an operator has said of secrets, looked through before a step needs it; for `procos doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import TaskError
from tasks.secrets.sources import secret_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings


def allowed_secrets(settings: Settings) -> frozenset[str]:
    """Return the names of all secrets that some step may name."""
    return frozenset(name for names in settings.secrets.allowed.values() for name in names)


def faults_of_secrets(settings: Settings) -> Iterator[str]:
    """Say which of the allowed secrets cannot be had here, and why."""
    for name in sorted(allowed_secrets(settings)):
        try:
            secret_of(name, settings)
        except TaskError as error:
            yield str(error)
