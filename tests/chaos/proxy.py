"""A TCP proxy that fails on purpose: everything the bridge and the workers say to a service goes through a link of it.

A link passes bytes on, refuses, freezes or delays, and may be reset at any moment. Rules see every chunk *before* it is
forwarded, so that a program can be killed between two messages: product code needs no failpoints. `moments` has the
rules; `stack` makes the links. One thread runs an event loop; the methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine

HOST = "127.0.0.1"
LARGEST_CHUNK = 65536
WINDOW = 512
"""Bytes of the past a rule sees before each chunk, so that a pattern may lie across two of them."""
CONTROL_SECONDS = 10.0
LINGER_SECONDS = 1.0
AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with a reset instead of a farewell."""


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
    """The verdict's bytes are forwarded in its place."""
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


@dataclass(frozen=True, slots=True)
class _Pipe:
    """One direction of one connection."""

    connection: int
    direction: Direction
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    back: asyncio.StreamWriter


class Link:
    """One listening port in front of one service."""

    def __init__(self, name: str, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.name, self.target, self.port = name, target, 0
        self._loop = loop
        self._rules: tuple[Rule, ...] = ()
        self._latency = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections = 0
        self._call(self._listen())

    def refuse(self) -> None:
        """Take no connections and end those there are, as when the service is gone."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Take connections again."""
        self._call(self._listen())

    def reset(self) -> None:
        """Reset every connection; new ones are taken."""
        self._call(self._reset())

    def freeze(self, *, frozen: bool = True) -> None:
        """Keep every connection open and let nothing through, or let it flow again."""
        self._loop.call_soon_threadsafe(self._flowing.clear if frozen else self._flowing.set)

    def delay(self, seconds: float) -> None:
        """Hold back each chunk for so long."""
        self._latency = seconds

    def watch(self, *rules: Rule) -> None:
        """Let these rules judge from now on, instead of those before."""
        self._rules = rules

    def retarget(self, port: int) -> None:
        """Lead to another service from now on; connections there are end."""
        self.target = port
        self.reset()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CONTROL_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in tuple(self._writers):
            _cut(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            service_reader, service_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            self._forget(writer)
            return
        self._writers.add(service_writer)
        self._connections += 1
        number = self._connections
        try:
            await asyncio.gather(
                self._pump(_Pipe(number, Direction.TO_SERVICE, reader, service_writer, writer)),
                self._pump(_Pipe(number, Direction.TO_CLIENT, service_reader, writer, service_writer)),
            )
        finally:
            self._forget(writer, service_writer)

    async def _pump(self, pipe: _Pipe) -> None:
        before = b""
        with suppress(OSError):
            while content := await pipe.source.read(LARGEST_CHUNK):
                if self._latency:
                    await asyncio.sleep(self._latency)
                await self._flowing.wait()
                chunk = Chunk(connection=pipe.connection, direction=pipe.direction, content=content, before=before)
                if not await self._carry_out(self._judged(chunk), content, pipe):
                    return
                before = (before + content)[-WINDOW:]
            pipe.sink.write_eof()
            return
        _cut(pipe.sink)

    def _judged(self, chunk: Chunk) -> Verdict:
        verdicts = (rule.judge(chunk) for rule in self._rules)
        return next((verdict for verdict in verdicts if verdict.act is not Act.FORWARD), FORWARD)

    async def _carry_out(self, verdict: Verdict, content: bytes, pipe: _Pipe) -> bool:
        """Do with a chunk what was decided; returns whether the direction goes on."""
        match verdict.act:
            case Act.FORWARD | Act.DELAY | Act.REWRITE:
                await asyncio.sleep(verdict.seconds)
                pipe.sink.write(verdict.content if verdict.act is Act.REWRITE else content)
                await pipe.sink.drain()
                return True
            case Act.RESET:
                _cut(pipe.sink)
                _cut(pipe.back)
            case Act.SWALLOW:
                await _discard(pipe.source)
                pipe.sink.write_eof()
            case Act.ANSWER:
                pipe.back.write(verdict.content)
                pipe.back.write_eof()
                # Closed with unread words before it, the answer would be lost in the reset.
                with suppress(TimeoutError):
                    await asyncio.wait_for(_discard(pipe.source), LINGER_SECONDS)
                _cut(pipe.sink)
        return False

    def _forget(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            self._writers.discard(writer)
            _cut(writer)


class FaultProxy:
    """The thread behind all links; a context that closes them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._links: list[Link] = []
        self._thread.start()

    def link(self, name: str, target: int) -> Link:
        """Open a port that leads to the service at port `target`."""
        link = Link(name, target, self._loop)
        self._links.append(link)
        return link

    def close(self) -> None:
        """End every connection and the thread."""
        for link in self._links:
            link.freeze(frozen=False)
            link.refuse()
        closed = asyncio.run_coroutine_threadsafe(_finish(), self._loop)
        with suppress(TimeoutError):
            closed.result(CONTROL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONTROL_SECONDS)
        self._loop.close()


async def _finish() -> None:
    """Let the connections that were cut come to their end."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if others:
        await asyncio.wait(others, timeout=LINGER_SECONDS)


async def _discard(source: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await source.read(LARGEST_CHUNK):
            pass


def _cut(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()
