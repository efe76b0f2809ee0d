"""Certificates for a mail server on loopback, and a step that sends by it."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.external_task import Topic
from procos.settings import load_settings
from tasks.generic.email_send import EmailSendInput, email_send
from tests.contract.certificates import Authority, Pair
from tests.mail_servers import mail_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks.adapters.email.mail import Sent
    from tasks.context import TaskContext
    from tests.mail_servers import Postbox

MAIL = {"to": "ann@example.org", "subject": "Your order", "text": "It is on its way."}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("mail-ca"))


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    return authority.sign("mail")


@pytest.fixture
def server_tls(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture
def box() -> Iterator[Postbox]:
    """Run a relay that takes everything, in clear."""
    with mail_server(enable_SMTPUTF8=True, data_size_limit=1_000_000) as postbox:
        yield postbox


@pytest.fixture
def step(context_with: Callable[..., TaskContext], tmp_path: Path) -> Callable[..., TaskContext]:
    """Return a builder of steps with a connection `email` to a port."""

    def build(port: int, *, seconds: float = 60.0, **fields: object) -> TaskContext:
        given = {"type": "email", "host": "127.0.0.1", "port": port, "security": "none", **fields}
        given.setdefault("sender", "Shop <shop@example.org>")
        names = {f"PROCOS_CONNECTIONS__EMAIL__{name.upper()}": str(value) for name, value in given.items()}
        settings = load_settings({**names, "PROCOS_BLOBS_URL": f"file://{tmp_path}"}, dotenv=None)
        return replace(context_with(settings, seconds=seconds), topic=Topic("email_send"))

    return build


@pytest.fixture
def send(step: Callable[..., TaskContext]) -> Callable[..., Sent]:
    """Send a mail by a server at a port."""

    def sent(port: int, mail: dict[str, Any] | None = None, **fields: object) -> Sent:
        return email_send(EmailSendInput.model_validate({**MAIL, **(mail or {})}), step(port, **fields))

    return sent
