"""A service that falls silent after the greetings, as one that is frozen: connections stay, answers do not come."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from tests.chaos.proxy import HOST, FaultProxy
from tests.chaos.traffic import FORWARD, SWALLOW, Direction

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from tests.chaos.traffic import Chunk, Verdict


class Silence:
    """Loses an answer, and all that follow it on the same connection; so often, or always."""

    def __init__(self, answer: re.Pattern[bytes], *, times: int | None = None) -> None:
        self._answer, self._times = answer, times
        self.lost = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Forward everything up to that answer."""
        if chunk.direction is Direction.TO_SERVICE or self.lost == self._times:
            return FORWARD
        if not self._answer.search(chunk.before + chunk.content):
            return FORWARD
        self.lost += 1
        return SWALLOW


@contextmanager
def silenced(url: str, silence: Silence) -> Iterator[str]:
    """Return another address of a service, where some of its answers are lost."""
    parts = urlsplit(url)
    assert parts.port is not None
    proxy = FaultProxy()
    try:
        link = proxy.link("silenced", parts.port)
        link.watch(silence)
        login, at, _ = parts.netloc.rpartition("@")
        yield urlunsplit(parts._replace(netloc=f"{login}{at}{HOST}:{link.port}"))
    finally:
        proxy.close()
