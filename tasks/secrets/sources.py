"""Where secrets are found by name: in the settings, then in the folder of mounted secrets.

A secret that is missing or cannot be read is for an operator to mend: no retry can help, and no model should catch it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.domain.errors import PermanentError
from procos.domain.redaction import SHORTEST
from tasks.secrets.files import text_in

if TYPE_CHECKING:
    from pathlib import Path

    from procos.domain.external_task import Topic
    from procos.settings import Settings

MISSING, DENIED, UNREADABLE, TOO_SHORT = "SECRET_MISSING", "SECRET_DENIED", "SECRET_UNREADABLE", "SECRET_TOO_SHORT"


def secret_of(name: str, settings: Settings) -> str:
    """Return the value of a secret, as it is now.

    Raises:
        PermanentError: it is not there, cannot be read, or is too short to be kept.
        TransientError: its folder does not answer now.
    """
    setting = settings.named_secrets.get(name)
    value = setting.get_secret_value() if setting else _mounted(name, settings.secrets.directory)
    if value is None:
        raise PermanentError(f"the secret {name} is not there: {_places(name, settings)}", code=MISSING)
    if len(value) < SHORTEST:
        raise PermanentError(
            f"the secret {name} has fewer than {SHORTEST} characters, too few to be kept out of results and logs; "
            "what is no secret can stand where it is used",
            code=TOO_SHORT,
        )
    return value


def check_allowed(name: str, topic: Topic, settings: Settings) -> None:
    """Return if steps of this topic may name this secret.

    Raises:
        PermanentError: they may not; names the setting to change.
    """
    if name not in settings.secrets.allowed.get(topic, ()):
        raise PermanentError(
            f"steps of topic {topic!r} may not name the secret {name}: if they should, add it to "
            f'PROCOS_SECRETS_ALLOWED of bridge and workers, as in {{"{topic}": ["{name}"]}}',
            code=DENIED,
        )


def _mounted(name: str, folder: Path | None) -> str | None:
    text = text_in(folder, name, code=UNREADABLE) if folder else None
    return None if text is None else text.removesuffix("\n").removesuffix("\r")


def _places(name: str, settings: Settings) -> str:
    folder = settings.secrets.directory
    if folder is None:
        return f"PROCOS_SECRETS__{name} is not set, and PROCOS_SECRETS_DIRECTORY neither"
    return f"PROCOS_SECRETS__{name} is not set, and there is no file {name} in PROCOS_SECRETS_DIRECTORY ({folder})"
