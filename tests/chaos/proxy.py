"""A TCP proxy that fails on purpose: everything the bridge and the workers say to a service goes through a link of it.

A link passes bytes on, refuses, freezes one way or both, delays, and may be reset at any moment. Rules see every chunk
*before* it is forwarded, so that a program can be killed between two messages: product code needs no failpoints.
`moments` and `ways` have the rules; `stack` makes the links. One thread runs an event loop; the methods may be called
from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.chaos.traffic import FORWARD, Act, Chunk, Direction, Verdict

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.chaos.traffic import Rule

HOST = "127.0.0.1"
LARGEST_CHUNK = 65536
WINDOW = 512
"""Bytes of the past a rule sees before each chunk, so that a pattern may lie across two of them."""
CONTROL_SECONDS = 10.0
LINGER_SECONDS = 1.0
AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with a reset instead of a farewell."""


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

    def __init__(self, name: str, target: int, loop: asyncio.AbstractEventLoop, *, host: str = HOST) -> None:
        self.name, self.target, self.host, self.port = name, target, host, 0
        self._loop = loop
        self._standing: tuple[Rule, ...] = ()
        self._rules: tuple[Rule, ...] = ()
        self._latency = 0.0
        self._flowing = {direction: asyncio.Event() for direction in Direction}
        for flowing in self._flowing.values():
            flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_service: dict[int, asyncio.StreamWriter] = {}
        self._forsaken: set[int] = set()
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

    def freeze(self, *, frozen: bool = True, direction: Direction | None = None) -> None:
        """Keep connections open and let nothing through, one way or both, not even their ends; or let it flow again."""
        for flowing in self._flowing.values() if direction is None else [self._flowing[direction]]:
            self._loop.call_soon_threadsafe(flowing.clear if frozen else flowing.set)

    def forsake(self) -> None:
        """End the connections there are on the service's side, while their clients never hear of it."""
        self._call(self._forsake())

    def delay(self, seconds: float) -> None:
        """Hold back each chunk for so long."""
        self._latency = seconds

    def watch(self, *rules: Rule) -> None:
        """Let these rules judge from now on, instead of those before."""
        self._rules = rules

    def always(self, *rules: Rule) -> None:
        """Let these rules judge before those that are watched, whichever these are."""
        self._standing = rules

    def retarget(self, port: int) -> None:
        """Lead to another service from now on; connections there are end."""
        self.target = port
        self.reset()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CONTROL_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in tuple(self._writers):
            _cut(writer)

    async def _forsake(self) -> None:
        self._forsaken |= self._to_service.keys()
        for writer in tuple(self._to_service.values()):
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
        self._to_service[number] = service_writer
        try:
            await asyncio.gather(
                self._pump(_Pipe(number, Direction.TO_SERVICE, reader, service_writer, writer)),
                self._pump(_Pipe(number, Direction.TO_CLIENT, service_reader, writer, service_writer)),
            )
        finally:
            del self._to_service[number]
            self._forget(writer, service_writer)

    async def _pump(self, pipe: _Pipe) -> None:
        """Carry one direction until it ends, then end it at the other side in the same way."""
        try:
            if not await self._carried(pipe):
                return
            farewell = pipe.sink.write_eof
        except OSError:
            farewell = partial(_cut, pipe.sink)
        await self._flowing[pipe.direction].wait()
        if pipe.connection not in self._forsaken:
            with suppress(OSError):
                farewell()

    async def _carried(self, pipe: _Pipe) -> bool:
        """Carry until the source ends; returns False when a rule ended the direction."""
        before = b""
        while content := await pipe.source.read(LARGEST_CHUNK):
            if self._latency:
                await asyncio.sleep(self._latency)
            await self._flowing[pipe.direction].wait()
            if pipe.connection in self._forsaken:
                continue
            chunk = Chunk(connection=pipe.connection, direction=pipe.direction, content=content, before=before)
            verdict, rewritten = self._judged(chunk)
            if not await _carry_out(verdict, rewritten, pipe):
                return False
            before = (before + content)[-WINDOW:]
        return True

    def _judged(self, chunk: Chunk) -> tuple[Verdict, bytes]:
        """Ask the rules in turn; returns the first verdict that is more than other words, and the words to forward."""
        for rule in (*self._standing, *self._rules):
            verdict = rule.judge(chunk)
            if verdict.act is Act.REWRITE:
                chunk = replace(chunk, content=verdict.content)
            elif verdict.act is not Act.FORWARD:
                return verdict, chunk.content
        return FORWARD, chunk.content

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

    def link(self, name: str, target: int, *, host: str = HOST) -> Link:
        """Open a port, on an address of this machine, that leads to the service at port `target`."""
        link = Link(name, target, self._loop, host=host)
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


async def _carry_out(verdict: Verdict, content: bytes, pipe: _Pipe) -> bool:
    """Do with a chunk what was decided; returns whether the direction goes on."""
    match verdict.act:
        case Act.FORWARD | Act.DELAY | Act.REWRITE:
            await asyncio.sleep(verdict.seconds)
            pipe.sink.write(content)
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
