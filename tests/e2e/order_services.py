"""What `order_notification` talks to, for real: PostgreSQL, a warehouse over HTTP, Slack, and a mail server.

Slack is npm's `emulate`; the others are what they are anywhere. Connections are files, which workers read at each use.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import psycopg
from aiosmtpd.controller import Controller

from procos.kernel.ports import Ports
from tests.chaos.postgres import running_postgres
from tests.emulated import TOKEN, Emulated, emulated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiosmtpd.smtp import SMTP, Envelope, Session

CHANNEL = "orders"
SEED = {
    "slack": {
        "team": {"name": "Shop", "domain": "shop"},
        "users": [{"name": "admin", "real_name": "Admin", "email": "admin@shop.test"}],
        "channels": [{"name": CHANNEL, "topic": "orders"}],
        "bots": [{"name": "procos"}],
    }
}
CUSTOMERS = ((7, "Ada Lovelace", "ada@example.org"), (8, "Nobody", "refused@example.org"), (9, "Silent", None))
DATABASE = """
type = "database"
url = "{url}"

[statements]
customer_by_id = "SELECT name, email FROM customers WHERE id = :id"
"""
WAREHOUSE = """
type = "http"
url = "http://127.0.0.1:{port}"
allowed_addresses = ["127.0.0.1"]
idempotency_header = "Idempotency-Key"
"""
TEAM = """
type = "slack"
base_url = "{url}"
token = "{token}"
channel = "{channel}"
"""
MAIL = """
type = "email"
host = "127.0.0.1"
port = {port}
security = "none"
sender = "Shop <shop@example.org>"
"""


class Warehouse(ThreadingHTTPServer):
    """Takes orders; `answers` are the statuses of the next ones, 201 when there are none."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Orders)
        self.taken: list[tuple[str, Any]] = []
        self.answers: list[int] = []


class _Orders(BaseHTTPRequestHandler):
    server: Warehouse

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.server.answers.pop(0) if self.server.answers else 201
        if status == 201:
            self.server.taken.append((self.headers["Idempotency-Key"], order))
        body = json.dumps({"status": status}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Mailbox:
    """A mail server's handler: takes all mail but that for `refused@…`."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name, and its parameters
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("refused@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(content)
        return "250 OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderServices:
    """The four, and what they were told."""

    folder: Path
    warehouse: Warehouse
    mailbox: Mailbox
    slack: Emulated
    channel: str

    def said(self) -> list[str]:
        """Return what the channel has heard, the last first."""
        found = self.slack.ask(f"{self.slack.slack}/conversations.history", {"channel": self.channel})
        return [message["text"] for message in found["messages"]]


@contextmanager
def order_services(folder: Path, connections: Path) -> Iterator[OrderServices]:
    """Run all four, and write what a worker has to know of them."""
    ports = Ports()
    with ExitStack() as running:
        database = running.enter_context(running_postgres(ports.choose()))
        _fill(database)
        warehouse = running.enter_context(_serving())
        mailbox = Mailbox()
        controller = Controller(mailbox, hostname="127.0.0.1", port=ports.choose())
        controller.start()
        running.callback(controller.stop)
        slack = running.enter_context(emulated(folder, SEED))
        files = {
            "orders": DATABASE.format(url=database),
            "warehouse": WAREHOUSE.format(port=warehouse.server_address[1]),
            "team": TEAM.format(url=slack.slack, token=TOKEN, channel=CHANNEL),
            "mail": MAIL.format(port=controller.port),
        }
        for name, text in files.items():
            (connections / f"{name}.toml").write_text(text)
        yield OrderServices(
            folder=connections, warehouse=warehouse, mailbox=mailbox, slack=slack, channel=_channel_id(slack)
        )


def _fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE customers (id integer PRIMARY KEY, name text, email text)")
        for customer in CUSTOMERS:
            connection.execute("INSERT INTO customers VALUES (%s, %s, %s)", customer)


@contextmanager
def _serving() -> Iterator[Warehouse]:
    with Warehouse() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _channel_id(slack: Emulated) -> str:
    found = slack.ask(f"{slack.slack}/conversations.list", {})
    return str(next(each["id"] for each in found["channels"] if each["name"] == CHANNEL))
