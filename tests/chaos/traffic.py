"""What goes through a link of the proxy, and what a rule may decide about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Direction(StrEnum):
    """Which way bytes go."""

    TO_SERVICE = "to_service"
    TO_CLIENT = "to_client"


class Act(StrEnum):
    """What becomes of a chunk."""

    FORWARD = "forward"
    SWALLOW = "swallow"
    """It and all that follows in its direction is lost, while the connection stays."""
    RESET = "reset"
    DELAY = "delay"
    """Forwarded after the verdict's seconds, and with it all that follows in its direction."""
    REWRITE = "rewrite"
    """The verdict's bytes take its place; the rules that follow see them."""
    ANSWER = "answer"
    """The service never sees it; the client gets the verdict's bytes, then the end of the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a chunk, the bytes of an answer or in its place, and the length of a delay."""

    act: Act
    content: bytes = b""
    seconds: float = 0.0


FORWARD = Verdict(act=Act.FORWARD)
SWALLOW = Verdict(act=Act.SWALLOW)
RESET = Verdict(act=Act.RESET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes on their way, with the connection they belong to and what was seen just before them."""

    connection: int
    direction: Direction
    content: bytes
    before: bytes = b""


class Rule(Protocol):
    """Looks at each chunk of a link."""

    def judge(self, chunk: Chunk) -> Verdict:
        """Decide about a chunk that was not forwarded yet."""
