"""How each kind of part is asked for its health: one small question, with a limit, answered by None or a reason.

The questions are the ones a client's first call would ask, so that "healthy" means "of use". Where a worker or the
bridge is concerned the broker is asked, because only a consumer on the queue means that tasks are taken.
"""

from __future__ import annotations

import base64
import socket
import ssl
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from procos.domain.errors import BrokerUnreachableError
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.request import OpenerDirector

    from procos.kernel.part import Probe
    from procos.settings import BrokerSettings

log = get_logger(__name__)

LIMIT = 2.0
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
AMQP_PORTS: Mapping[str, int] = {"amqp": 5672, "amqps": 5671}
METHOD_FRAME = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Healthy when a GET is answered with success."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)
    timeout: float = LIMIT
    uses_proxy: bool = False

    def check(self) -> str | None:
        """Return why the address does not answer with success, or None."""
        try:
            with self._opener().open(self._request(), timeout=self.timeout):
                return None
        except HTTPError as error:
            error.close()
            return "the credentials are refused" if error.code in {401, 403} else f"answers {error.code}"
        except TimeoutError:
            return f"no answer within {self.timeout:g} s"
        except (OSError, HTTPException) as error:
            return f"no answer within {self.timeout:g} s" if _is_timeout(error) else _refusal(error)

    def _opener(self) -> OpenerDirector:
        # A proxy that is set for the outside world must not be asked about this machine.
        return build_opener() if self.uses_proxy else build_opener(ProxyHandler({}))

    def _request(self) -> Request:
        request = Request(self.url, headers=dict(self.headers))  # noqa: S310  # addresses come from the settings
        if self.login is not None:
            token = base64.b64encode(":".join(self.login).encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisProbe:
    """Healthy when a logged-in PING is answered."""

    url: str = field(repr=False)

    def check(self) -> str | None:
        """Return why the server does not answer PING, or None."""
        import redis  # `procos down` and `procos status` start quicker without it

        with redis.Redis.from_url(self.url, socket_timeout=LIMIT, socket_connect_timeout=LIMIT) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return "the credentials are refused"
            except redis.BusyLoadingError:
                return "loading its data"
            except redis.RedisError as error:
                return _refusal(error)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpProbe:
    """Healthy when the server opens an AMQP 0-9-1 conversation; RabbitMQ does so last, when all else is up."""

    url: str = field(repr=False)

    def check(self) -> str | None:
        """Return why no conversation begins, or None."""
        try:
            with self._connect() as connection:
                connection.sendall(AMQP_HEADER)
                opening = connection.recv(1)
        except OSError as error:
            return _refusal(error)
        return None if opening == METHOD_FRAME else "does not speak AMQP 0-9-1"

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "127.0.0.1", parts.port or AMQP_PORTS[parts.scheme]
        connection = socket.create_connection((host, port), timeout=LIMIT)
        if parts.scheme == "amqps":
            return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerProbe:
    """Healthy when somebody consumes the queues; where the broker cannot count consumers, a live process has to do."""

    broker: BrokerSettings
    queues: tuple[str, ...]

    def check(self) -> str | None:
        """Return which queues nobody consumes, or None."""
        if not self.broker.url.startswith("amqp"):
            return None
        from procos.queues import depths  # the same

        try:
            found = depths(self.broker, self.queues)
        except BrokerUnreachableError as error:
            return str(error)
        idle = [name for name, depth in found.items() if not depth.consumers]
        return f"nobody consumes {', '.join(idle)}" if idle else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Healthy when all of several are."""

    probes: tuple[Probe, ...]

    def check(self) -> str | None:
        """Return the first trouble, or None."""
        return next((trouble for probe in self.probes if (trouble := probe.check()) is not None), None)


def ask(probe: Probe) -> str | None:
    """Return why a part is not healthy, or None; a question that fails is an answer too."""
    try:
        return probe.check()
    except Exception as error:
        # What a library raises beyond what we know of it must not end the watch over a part.
        log.exception("part.probe_failed")
        return f"cannot be asked: {error or type(error).__name__}"


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, URLError) and isinstance(error.reason, TimeoutError)


def _refusal(error: BaseException) -> str:
    """Find the system's own words in the chain of causes; libraries wrap them in addresses and class names."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
