"""Mail servers on loopback: aiosmtpd as a real one, and one that goes by a script and hangs up where it is told to."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, auth_mechanism

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from email.message import EmailMessage

USER, PASSWORD, TOKEN = "shop", "pässword-1234", "token-0123456789"
END = b"\r\n.\r\n"


@dataclass
class Postbox:
    """What a server has taken, and what it shall refuse."""

    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Its reply by recipient."""
    refuses_sender: str | None = None
    final: str = "250 2.0.0 taken"
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    envelopes: list[Any] = field(default_factory=list)
    mechanisms: list[str] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        """The one mail it has taken, as it came."""
        assert len(self.envelopes) == 1
        content: bytes = self.envelopes[0].original_content
        return content

    @property
    def mail(self) -> EmailMessage:
        """The same, as a mail program reads it."""
        return message_from_bytes(self.raw, policy=default)


class Hooks:
    """What aiosmtpd calls; it looks at every attribute there is."""

    def __init__(self, box: Postbox) -> None:
        self.box = box

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802  # aiosmtpd's name
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.box.refuses_sender or "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802  # aiosmtpd's name
        if address in self.box.refused:
            return self.box.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if self.box.final.startswith("2"):
            self.box.envelopes.append(envelope)
        return self.box.final

    @auth_mechanism("XOAUTH2")
    async def auth_token(self, server: Any, args: list[str]) -> AuthResult:
        self.box.mechanisms.append("XOAUTH2")
        said = base64.b64decode(args[1]).decode()
        if any(said == f"user={USER}\x01auth=Bearer {token}\x01\x01" for token in self.box.tokens):
            return AuthResult(success=True)
        details = base64.b64encode(json.dumps({"status": "401"}).encode()).decode()
        await server.push(f"334 {details}")
        assert await server._reader.readline() == b"\r\n"
        return AuthResult(success=False, handled=False)

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Judge a user and password."""
        self.box.mechanisms.append(mechanism)
        is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, **options: Any
) -> Iterator[Postbox]:
    """Run aiosmtpd in a thread; `options` are its own."""
    box, loop, ready = Postbox(), asyncio.new_event_loop(), threading.Event()
    hooks = Hooks(box)
    settings = {"hostname": "mail.test", "ident": "mail", "authenticator": hooks.authenticate, **options}

    def protocol() -> SMTP:
        return SMTP(hooks, tls_context=starttls, loop=loop, **settings)

    async def listen() -> Any:
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
        box.port = server.sockets[0].getsockname()[1]
        ready.set()
        return server

    async def finish(server: Any) -> None:
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def serve() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(listen())
        loop.run_forever()
        loop.run_until_complete(finish(server))
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield box
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@dataclass
class Script:
    """How a server behaves: its replies by command, and where it hangs up; DOT is the end of a message."""

    port: int = 0
    replies: Mapping[str, str] = field(default_factory=dict)
    hangs_up_at: str = ""
    """A command that gets no answer, CONTENT for the midst of a message, or DOT."""
    at_dot: Callable[[], object] = lambda: None
    offers: tuple[str, ...] = ("8BITMIME",)
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)


@contextmanager
def scripted_server(**script: Any) -> Iterator[Script]:
    """Run a server that goes by a script, for one connection after the other."""
    plan, listener = Script(**script), socket.create_server(("127.0.0.1", 0))
    plan.port = listener.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                _follow(plan, connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield plan
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _follow(plan: Script, connection: socket.socket) -> None:
    def say(verb: str, usual: str) -> bool:
        if plan.hangs_up_at == verb:
            return False
        connection.sendall(plan.replies.get(verb, usual).encode() + b"\r\n")
        return True

    with connection.makefile("rb") as lines:
        goes_on = say("CONNECT", "220 mail.test")
        while goes_on and (line := lines.readline()):
            said = line.decode("latin-1").strip()
            verb = said.partition(" ")[0].upper()
            plan.commands.append(said)
            usual = {"EHLO": "\r\n".join([*(f"250-{each}" for each in plan.offers), "250 HELP"]), "QUIT": "221 bye"}
            usual["EHLO"] = "250-mail.test\r\n" + usual["EHLO"]
            goes_on = say(verb, usual.get(verb, "354 go on" if verb == "DATA" else "250 OK"))
            if goes_on and verb == "DATA" and plan.replies.get("DATA", "354").startswith("354"):
                goes_on = _take(plan, connection, lines) and say("DOT", "250 2.0.0 taken")


def _take(plan: Script, connection: socket.socket, lines: Any) -> bool:
    if plan.hangs_up_at == "CONTENT":
        lines.read(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    content = b""
    while not content.endswith(END) and (line := lines.readline()):
        content += line
    if not content.endswith(END):
        return False
    plan.mails.append(content)
    plan.at_dot()
    return True
