"""How verdicts reach the engine in a case, decided at the proxy: in lists, as ours offers, or one by one.

A stock engine is ours with its headers hidden and its endpoint out of reach, so that nothing has to be restarted. The
calls are counted, and `unlike` says when they did not go the way the case is about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.chaos.case import Verdicts
from tests.chaos.moments import LISTED, SINGLE
from tests.chaos.traffic import FORWARD, Act, Chunk, Direction, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = re.compile(rb"(?<=\r\n)procos(?=-[\w-]+:)", re.IGNORECASE)
HIDDEN = b"hidden"
"""As long as the word it takes the place of, so that nothing else of an answer changes."""
WORDS = b'{"type":"NotFoundException","message":"HTTP 404 Not Found"}'
NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
    % (
        len(WORDS),
        WORDS,
    )
)


class Way:
    """Counts the verdicts by how they are sent, and makes the engine a stock one where the case says so."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self.lists = self.singles = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Count requests; hide from a bridge that shall report one by one that it need not."""
        if chunk.direction is Direction.TO_SERVICE:
            return self._judged_request(chunk.content)
        if self._verdicts is Verdicts.LISTED or not HEADER.search(chunk.content):
            return FORWARD
        return Verdict(act=Act.REWRITE, content=HEADER.sub(HIDDEN, chunk.content))

    def unlike(self) -> Iterator[str]:
        """Say that the verdicts were not sent the way they should be."""
        if self._verdicts is Verdicts.LISTED and not self.lists:
            yield f"no list of verdicts was sent, {self.singles} went one by one"
        if self._verdicts is Verdicts.ALONE and (self.lists or not self.singles):
            yield f"{self.lists} lists of verdicts were sent to an engine that takes none, {self.singles} one by one"

    def _judged_request(self, content: bytes) -> Verdict:
        if LISTED.match(content):
            self.lists += 1
            if self._verdicts is Verdicts.ALONE:
                return Verdict(act=Act.ANSWER, content=NOT_FOUND)
        elif SINGLE.match(content):
            self.singles += 1
        return FORWARD
