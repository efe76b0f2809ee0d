"""What an operator says of an HTTP service: where it is, how we show who we are, and how far we trust it."""

from __future__ import annotations

import ipaddress
import json
import re
from functools import lru_cache
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from procos.domain.errors import BusinessError, PermanentError
from tasks.adapters.adapter import Connection
from tasks.adapters.http.address import Address, parsed
from tasks.adapters.http.request import HEADER_NAME

LARGEST_VALUE = 8 * 1024 * 1024
"""Bytes of an answer that becomes a variable; what a worker may return by default is as large."""
LARGEST_DOWNLOAD = 1024 * 1024 * 1024
"""Bytes of an answer that becomes a blob; PROCOS_BLOBS_LARGEST may be less."""
MOST_BASES = 64
"""Connections whose address is kept as it was understood; an installation has a few."""
PARTED = re.compile(r"[,\s]+")


def _listed(given: object) -> object:
    """Take a list as a file has it, or as a setting has it: parted by commas."""
    return [each for each in PARTED.split(given) if each] if isinstance(given, str) else given


def _table(given: object) -> object:
    """Take a table as a file has it, or as a setting has it: a JSON object."""
    return json.loads(given) if isinstance(given, str) else given


def _network(given: str) -> str:
    try:
        return str(ipaddress.ip_network(given))
    except ValueError:
        raise PydanticCustomError("http_network", "expected addresses such as 10.1.2.3 or 10.1.0.0/16") from None


Network = Annotated[str, BeforeValidator(_network)]


class Bounds(Connection):
    """What holds for every request, also for one without a connection."""

    type: str = "http"
    allowed_addresses: Annotated[tuple[Network, ...], BeforeValidator(_listed)] = ()
    """Internal addresses this very service may have; all others are denied."""
    ca_file: Path | None = None
    """PEM file of the authorities that are trusted, instead of the usual ones."""
    connect_timeout: float = Field(5.0, gt=0, le=60)
    """Seconds until a connection stands, TLS included."""
    read_timeout: float = Field(30.0, gt=0, le=3600)
    """Seconds without a byte after which we give up."""
    largest_response: int = Field(LARGEST_VALUE, gt=0, le=64 * 1024 * 1024)
    """Bytes of an answer that becomes a variable, unpacked."""
    largest_download: int = Field(LARGEST_DOWNLOAD, gt=0)
    """Bytes of an answer that becomes a blob, unpacked."""
    most_redirects: int = Field(5, ge=0, le=10)
    longest_wait: float = Field(3600.0, gt=0, le=24 * 3600)
    """Seconds a service may make a step wait by Retry-After; an hour, so that a wrong date stops nothing for days."""


class HttpConnection(Bounds):
    """A service and how we show who we are: nothing, basic, bearer, an API key, OAuth2 client credentials."""

    url: str
    """Its base; every path is joined under it. `http:` only where the operator writes so here."""
    headers: Annotated[dict[str, str], BeforeValidator(_table)] = Field(default_factory=dict)
    """Sent with every request; a secret in one is named as `{{secrets.NAME}}`."""

    user: str | None = None
    password: SecretStr = SecretStr("")
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""
    api_key: SecretStr | None = None
    api_key_header: str = "X-API-Key"
    api_key_query: str | None = None
    """The query parameter that takes the key, where it does not go into a header."""
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token_url: str | None = None
    scope: str = ""
    audience: str = ""
    token_auth: Literal["basic", "body"] = "basic"  # noqa: S105  # how, not what
    """Where the token server wants id and secret; RFC 6749, section 2.3.1, asks servers to take the first."""

    client_certificate: Path | None = None
    client_key: Path | None = None
    """PEM file of its key, where the certificate's file has none."""
    client_key_password: SecretStr | None = None

    idempotency_header: str | None = None
    """The header in which the service takes an idempotency key; then every request may be sent twice."""
    health_path: str | None = None
    """What a look at the service asks for; without one it only connects."""

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise PydanticCustomError("http_header", "a header's name or value has characters it may not have")
        return headers

    @field_validator("token", "api_key")
    @classmethod
    def _can_be_sent(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().isprintable():
            raise PydanticCustomError("http_secret", "a line break or control character, which cannot be sent")
        return secret

    @field_validator("api_key_header", "idempotency_header")
    @classmethod
    def _is_a_header_name(cls, name: str | None) -> str | None:
        if name is not None and not HEADER_NAME.fullmatch(name):
            raise PydanticCustomError("http_header", "expected the name of a header")
        return name

    @model_validator(mode="after")
    def _has_one_way_to_show_who_we_are(self) -> Self:
        ways = [name for name in ("user", "token", "api_key", "client_id") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise PydanticCustomError(
                "http_auth", "{ways} are all set; expected one of them", {"ways": ", ".join(ways)}
            )
        if self.client_id is not None and (self.client_secret is None or self.token_url is None):
            raise PydanticCustomError("http_auth", "client_id needs client_secret and token_url beside it")
        if self.client_key is not None and self.client_certificate is None:
            raise PydanticCustomError("http_auth", "client_key needs client_certificate beside it")
        return self


def base_of(connection: HttpConnection) -> Address:
    """Return the base of a connection.

    Raises:
        PermanentError: CONNECTION_INVALID, where it is none.
    """
    return _base(connection.url)


@lru_cache(maxsize=MOST_BASES)
def _base(url: str) -> Address:
    try:
        base = parsed(url)
    except BusinessError as error:
        raise PermanentError(f"a connection's {error.message}", code="CONNECTION_INVALID") from None
    if base.query:
        raise PermanentError("a connection's url: has no place for a query", code="CONNECTION_INVALID")
    return base
