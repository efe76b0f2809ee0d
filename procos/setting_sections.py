"""The sections of the settings: what each part of ProcOS may be told, with what is expected of a value.

`procos.settings` makes a tree of them.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from procos.domain.addresses import has_scheme, rest_root, web_address
from procos.domain.message_size import LARGEST_MESSAGE
from procos.domain.variables import LARGEST_TOGETHER


def printable(secret: SecretStr) -> SecretStr:
    """Refuse a secret that no HTTP header can carry."""
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("expected printable ASCII characters only, as an HTTP header can carry")
    return secret


def _listed(value: object) -> object:
    """Read a list as it stands in an environment variable: separated by commas."""
    if not isinstance(value, str):
        return value
    names = [part.strip() for part in value.split(",") if part.strip()]
    if not names:  # nothing would mean everything
        raise ValueError("expected names separated by commas")
    return names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


def _object(value: object) -> object:
    """Read an object as it stands in an environment variable: as JSON."""
    return json.loads(value) if isinstance(value, str) else value


AllowedSecrets = Annotated[dict[str, tuple[str, ...]], NoDecode, BeforeValidator(_object)]


class Section(BaseModel):
    """A section: it cannot be changed, and knows its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EngineSettings(Section):
    """Where the engine is and how to log in; the `db_`, `port` and `jar` fields serve an engine started here."""

    url: Annotated[str, AfterValidator(rest_root)] = "http://127.0.0.1:8080/engine-rest"
    user: str | None = None
    password: SecretStr | None = None
    token: Annotated[SecretStr, AfterValidator(printable)] | None = Field(
        None, description="A bearer token, instead of user and password."
    )
    oauth_token_url: Annotated[str, AfterValidator(web_address)] | None = Field(
        None, description="Where an OAuth2 client gets its token, by client credentials."
    )
    oauth_client_id: str | None = None
    oauth_client_secret: SecretStr | None = None
    oauth_scope: str | None = None
    client_cert: Path | None = Field(None, description="PEM file of a client certificate.")
    client_key: Path | None = Field(None, description="PEM file of its key, where the certificate's has none.")
    ca: Path | None = Field(None, description="PEM file of the authorities to trust instead of the system's.")
    timeout: float = Field(10.0, gt=0, description="Seconds a call may take, long polls apart.")
    port: int = Field(8080, ge=1, le=65535, description="The port an engine started here prefers.")
    address: str = Field("127.0.0.1", description="The address an engine started here listens on.")
    bulk_verdicts: bool = Field(True, description="Whether an engine started here takes verdicts in lists.")
    data: Path | None = Field(None, description="Folder of the H2 database file of an engine started here.")
    db_url: SecretStr | None = Field(None, description="PostgreSQL instead of H2: postgresql://… or jdbc:….")
    db_user: str | None = None
    db_password: SecretStr | None = None
    jar: Path | None = Field(None, description="A ready-made engine jar, instead of one built from deploy/engine.")
    heap: str = Field("768m", pattern=r"^\d+[mg]$", description="Largest Java heap of an engine started here.")


class BrokerSettings(Section):
    """Where the Celery queues are; RabbitMQ, or Redis/Valkey with its weaker guarantees."""

    url: Annotated[str, AfterValidator(has_scheme("amqp", "amqps", "redis", "rediss"))] = Field(
        "amqp://guest:guest@127.0.0.1:5672//", repr=False
    )
    confirm_timeout: float = Field(10.0, gt=0, description="Seconds to wait for RabbitMQ to confirm a batch.")


class RedisSettings(Section):
    """Where ledger and results are kept."""

    url: Annotated[str, AfterValidator(has_scheme("redis", "rediss", "unix"))] = Field(
        "redis://127.0.0.1:6379/0", repr=False
    )
    timeout: float = Field(5.0, gt=0, description="Seconds a command of the bridge may take.")


class BridgeSettings(Section):
    """How the bridge fetches, leases and reports."""

    replica_id: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[\w.-]+$",
        description="Names this bridge at the engine; stable over restarts, different for every replica.",
    )
    capacity: int = Field(2000, ge=1, description="Most external tasks in flight per queue, whatever its workers want.")
    least_in_flight: int = Field(
        32, ge=1, description="External tasks in flight per queue while its workers show no demand for more."
    )
    poll_timeout: float = Field(10.0, ge=0, le=1800, description="Seconds a fetch waits at the engine for work.")
    lock_duration: float = Field(300.0, ge=5, description="Seconds of a lock where the route does not say.")
    completers: int = Field(8, ge=1, le=64, description="Calls to the engine that report outcomes at the same time.")
    bulk_verdicts: bool = Field(True, description="Report outcomes in lists, where the engine takes them.")
    largest_input: int = Field(
        LARGEST_TOGETHER,
        ge=1024,
        le=LARGEST_MESSAGE,
        description="Bytes the variables of one step may have together.",
    )
    unknown_topics: Literal["fail", "leave"] = Field(
        "fail", description="External tasks of topics without a route: make an incident, or leave them to others."
    )
    drain_timeout: float = Field(20.0, ge=0, description="Seconds reports under way get when the bridge stops.")
    lost_after: float = Field(
        60.0, ge=5, description="Seconds without a sign of life before a dispatch is looked into."
    )
    largest_age: float = Field(
        86400.0,
        ge=60,
        description="Seconds a try may take, queue and postponements included, before it is an incident.",
    )
    tenants: Names = Field((), description="Fetch the external tasks of these tenants alone.")
    process_keys: Names = Field((), description="Fetch those of these process definitions alone.")
    business_key: str | None = Field(None, description="Fetch those of this business key alone.")
    health_address: str = Field("127.0.0.1", description="Where /livez, /readyz and /metrics are served.")
    health_port: int = Field(9464, ge=0, le=65535, description="0 serves none.")

    @model_validator(mode="after")
    def _outlasts_the_poll(self) -> Self:
        """Refuse locks that may run out before the answer that brings them has arrived."""
        if self.lock_duration <= self.poll_timeout:
            raise ValueError(
                f"PROCOS_BRIDGE_LOCK_DURATION is {self.lock_duration:g} s, "
                f"expected more than PROCOS_BRIDGE_POLL_TIMEOUT ({self.poll_timeout:g} s)"
            )
        return self


class KernelSettings(Section):
    """How the kernel boots the system, and how it takes leave of it."""

    patience: float = Field(30.0, ge=0, description="Seconds broker, Redis and database get to answer at its start.")
    services_first: bool = Field(True, description="Start no engine before broker and Redis answer.")
    farewell: bool = Field(True, description="Run procos_system_shutdown before it ends.")
    farewell_limit: float = Field(20.0, gt=0, description="Seconds that process may take.")
    health_address: str = Field("127.0.0.1", description="Where its /livez, /readyz and /metrics are served.")
    health_port: int = Field(9465, ge=0, le=65535, description="0 serves none.")


class WorkerSettings(Section):
    """How many tasks a worker runs at once where the command line does not say."""

    concurrency: int | None = Field(None, ge=1, description="Slots; default 16 threads for ai, 2 processes else.")
    time_limit: float = Field(600.0, gt=0, description="Seconds a task may take where its route does not say.")
    largest_result: int = Field(
        LARGEST_TOGETHER, ge=1024, le=LARGEST_MESSAGE, description="Bytes the result of one step may have."
    )
    largest_message: int = Field(
        8 * LARGEST_TOGETHER, ge=1024, description="Bytes of a message that a worker still reads; the rest it refuses."
    )
    events: bool = Field(True, description="Send task events, which Flower needs.")
    soft_shutdown: float = Field(20.0, ge=0, description="Seconds running tasks get when a worker is stopped.")


class SecretsSettings(Section):
    """Where secrets are found, beside `PROCOS_SECRETS__<NAME>`, and which tasks may have them."""

    directory: Path | None = Field(None, description="Folder of secrets, one file each, named like the secret.")
    allowed: AllowedSecrets = Field({}, description="Topic to the names of the secrets its models may name, as JSON.")


class BlobSettings(Section):
    """Where results that are too large for variables are kept, and files."""

    url: str | None = Field(
        None, repr=False, description="Any address fsspec knows, such as file:///shared or s3://bucket."
    )
    above: int = Field(256 * 1024, ge=4096, description="Bytes of a variable above which it is kept there.")
    largest: int = Field(256 * 1024 * 1024, ge=4096, description="Bytes one of them may have.")


class Target(BaseModel):
    """Where a notification goes: a connection, and what its adapter needs beside the message (`to`, `channel`, …)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    connection: str = Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")


Audiences = Annotated[dict[str, tuple[Target, ...]], NoDecode, BeforeValidator(_object)]


class NotificationSettings(Section):
    """Who is told what the topic `notification` has to say."""

    audiences: Audiences = Field({}, description="Name of an audience to where its notifications go, as JSON.")


class FlowerSettings(Section):
    """Flower, the view of the workers; credentials are generated by `procos up` where none are set."""

    user: str = "procos"
    password: SecretStr | None = None
    address: str = Field("127.0.0.1", description="The address Flower listens on.")
    port: int = Field(5555, ge=1, le=65535)


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else JSON.")
