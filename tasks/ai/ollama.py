"""Whether an Ollama server answers: the one fact the choice of a provider needs from the network.

`GET /api/tags` lists the models a server holds, cheaply and without loading one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import requests

from procos.logs import get_logger

if TYPE_CHECKING:
    from procos.settings import OllamaSettings

log = get_logger(__name__)


def answers(settings: OllamaSettings) -> bool:
    """Return whether an Ollama address is set and its server answers in time."""
    if settings.url is None:
        return False
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(
                settings.url.rstrip("/") + "/api/tags",
                timeout=settings.health_timeout,
                allow_redirects=False,
                stream=True,  # the status is all that counts, the list may be long
            )
            response.close()
    except requests.RequestException as error:
        log.warning("ollama.unavailable", reason=type(error).__name__)
        return False
    return response.status_code == HTTPStatus.OK
