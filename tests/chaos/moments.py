"""Rules for the proxy: the moments at which a fault strikes, told by the bytes that are about to be forwarded.

A `Moment` strikes once, a `LostAnswers` or a `BusyEngine` again and again by chance. The patterns are the protocols'
own: HTTP to the engine, RESP to Redis, AMQP 0-9-1 to RabbitMQ (class 60: publish is method 40, ack is method 80).
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from tests.chaos.traffic import FORWARD, RESET, SWALLOW, Act, Chunk, Direction, Verdict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

FETCHED = re.compile(rb'"variables":\{"')
"""In an answer to fetchAndLock that holds tasks; no other answer has typed variables."""
VARIABLES = re.compile(rb'(?<="variables":\{)(?:"\w+":\{[^{}\r\n]*\{[^{}\r\n]*\}[^{}\r\n]*\},?)+(?=\})')
"""All typed variables of one task in such an answer; each ends with its valueInfo, an object of plain values.

A line break in them is HTTP's, before and after the size of a piece: without it the answer cannot be read, and is lost.
"""
RESERVED = re.compile(rb"\$3\r\nnew\r\n")
"""In Redis's reply to a reservation."""
CONFIRMED = re.compile(rb"\x00\x3c\x00\x50.{8}[\x00\x01]\xce", re.DOTALL)
LISTED = re.compile(rb"POST /engine-rest/procos/verdicts ")
SINGLE = re.compile(rb"POST /engine-rest/external-task/[^/ ]+/(?:complete|failure|bpmnError) ")
COMPLETING = re.compile(rb"POST /engine-rest/(?:external-task/[^/ ]+/complete|procos/verdicts) ")
"""One result, or a list of verdicts, of which most are results."""
FETCHING = re.compile(rb"POST /engine-rest/external-task/fetchAndLock ")
REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE) /")
DONE = re.compile(rb"HTTP/1\.1 20[04]")
"""204 to one, 200 to a list; its words may follow in further chunks, which are lost with the connection."""
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Moment:
    """Acts the first time a pattern comes along in one direction; the bytes themselves are swallowed."""

    def __init__(self, pattern: re.Pattern[bytes], direction: Direction, act: Callable[[], None]) -> None:
        self._pattern, self._direction, self._act = pattern, direction, act
        self.struck = threading.Event()

    def judge(self, chunk: Chunk) -> Verdict:
        """Forward everything but what the moment is about."""
        if self.struck.is_set() or chunk.direction is not self._direction:
            return FORWARD
        if not self._pattern.search(chunk.before + chunk.content):
            return FORWARD
        self._act()
        self.struck.set()
        return SWALLOW


class LostAnswers:
    """Loses a part of the answers to completions, after the engine has committed them."""

    def __init__(self, part: float, rng: random.Random) -> None:
        self._part, self._rng = part, rng
        self._completing: set[int] = set()
        self.lost = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Remember what each connection asked last, and reset some that are answered."""
        if chunk.direction is Direction.TO_SERVICE:
            self._note_request(chunk)
            return FORWARD
        if chunk.connection not in self._completing or not DONE.match(chunk.content):
            return FORWARD
        if self._rng.random() >= self._part:
            return FORWARD
        self.lost += 1
        return RESET

    def _note_request(self, chunk: Chunk) -> None:
        if COMPLETING.match(chunk.content):
            self._completing.add(chunk.connection)
        elif REQUEST.match(chunk.content):
            self._completing.discard(chunk.connection)


class LateFetches:
    """Brings completions late and the answers to fetchAndLock later still: what is completed meanwhile is in them."""

    def __init__(self, *, completions: float, fetches: float) -> None:
        self._completion = Verdict(act=Act.DELAY, seconds=completions)
        self._fetch = Verdict(act=Act.DELAY, seconds=fetches)
        self._fetching: set[int] = set()
        self.delayed = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Hold back completions; remember which connections fetch, and hold back what they are answered."""
        if chunk.direction is Direction.TO_SERVICE:
            if FETCHING.match(chunk.content):
                self._fetching.add(chunk.connection)
            elif REQUEST.match(chunk.content):
                self._fetching.discard(chunk.connection)
            return self._completion if COMPLETING.match(chunk.content) else FORWARD
        if chunk.connection not in self._fetching or not FETCHED.search(chunk.content):
            return FORWARD
        self.delayed += 1
        return self._fetch


class TornFetches:
    """Blanks the variables of some tasks in answers to fetchAndLock, as an engine that reads too late hands them out.

    Spaces take their place, so that the answer keeps its length.
    """

    def __init__(self, part: float, rng: random.Random) -> None:
        self._part, self._rng = part, rng
        self.torn = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Rewrite answers that hold tasks with variables."""
        if chunk.direction is Direction.TO_SERVICE or not FETCHED.search(chunk.content):
            return FORWARD
        return Verdict(act=Act.REWRITE, content=VARIABLES.sub(self._blanked, chunk.content))

    def _blanked(self, variables: re.Match[bytes]) -> bytes:
        if self._rng.random() >= self._part:
            return variables[0]
        self.torn += 1
        return b" " * len(variables[0])


class BusyEngine:
    """Answers a part of the requests in the engine's place: 503."""

    def __init__(self, part: float, rng: random.Random) -> None:
        self._part, self._rng = part, rng
        self.refused = 0

    def judge(self, chunk: Chunk) -> Verdict:
        """Let some requests never reach the engine."""
        is_request = chunk.direction is Direction.TO_SERVICE and REQUEST.match(chunk.content)
        if not is_request or self._rng.random() >= self._part:
            return FORWARD
        self.refused += 1
        return Verdict(act=Act.ANSWER, content=UNAVAILABLE)
