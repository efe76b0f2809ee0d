"""`procos doctor`: looks at everything a step passes on its way, and names the cure for what is wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import redis

from procos.blobs import blob_store
from procos.cli.environment import settings
from procos.domain.addresses import without_secrets
from procos.domain.errors import ProcosError, UnreachableError
from procos.engine.access import is_let_in
from procos.engine.http import HttpEngine
from procos.engine.processes import Processes
from procos.engine.transport import Transport
from procos.models import find_models, read_model
from procos.queues import SHELF, depths
from procos.routes import by_queue, routes
from tasks.ai.inspection import faults_of_ai
from tasks.ai.providers.registry import profiles
from tasks.secrets.connections import known_connections
from tasks.secrets.inspection import allowed_secrets, faults_of_connections, faults_of_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procos.settings import Settings

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Health(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNREACHABLE = "unreachable"


MARKS = {Health.GOOD: "✓", Health.WARNING: "!", Health.BAD: "✗", Health.UNREACHABLE: "✗"}
COLOURS = {Health.GOOD: "green", Health.WARNING: "yellow", Health.BAD: "red", Health.UNREACHABLE: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    health: Health
    text: str
    cure: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool) -> None:
    """Check settings, secrets, AI providers, engine, broker, Redis, blob store, and the models against the routes."""
    findings = list(_findings(settings()))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    sys.exit(_exit_code(findings))


def _findings(chosen: Settings) -> Iterator[Finding]:
    yield Finding(check="settings", health=Health.GOOD, text=f"{len(chosen.set_by_user)} set, all known")
    checks = {
        "secrets": _secrets,
        "ai": _ai,
        "engine": _engine,
        "broker": _broker,
        "redis": _redis,
        "blobs": _blobs,
        "models": _models,
        "deployed": _deployed,
    }
    for name, check in checks.items():
        yield from _guarded(name, check, chosen)


def _guarded(name: str, check: Callable[[Settings], Iterator[Finding]], chosen: Settings) -> Iterator[Finding]:
    try:
        yield from check(chosen)
    except UnreachableError as error:
        yield Finding(check=name, health=Health.UNREACHABLE, text=str(error))
    except ProcosError as error:
        yield Finding(check=name, health=Health.BAD, text=str(error))


def _secrets(chosen: Settings) -> Iterator[Finding]:
    secrets, connections = allowed_secrets(chosen), known_connections(chosen)
    missing, broken = list(faults_of_secrets(chosen)), list(faults_of_connections(chosen))
    for text in missing:  # the bridge's host knows their names, and needs none of them
        cure = "set it on the hosts of the workers, or take it out of PROCOS_SECRETS_ALLOWED"
        yield Finding(check="secrets", health=Health.WARNING, text=text, cure=cure)
    for text in broken:
        yield Finding(check="secrets", health=Health.BAD, text=text, cure="mend the connection, or set the secret")
    for topic in sorted(chosen.secrets.allowed.keys() - routes().keys()):
        text = f"PROCOS_SECRETS_ALLOWED names topic {topic!r}, which no route serves"
        yield Finding(check="secrets", health=Health.WARNING, text=text, cure="see `procos routes`")
    if (secrets or connections) and not (missing or broken):
        found = f"secrets found: {len(secrets)}, connections: {', '.join(sorted(connections)) or 'none'}"
        yield Finding(check="secrets", health=Health.GOOD, text=found)


def _ai(chosen: Settings) -> Iterator[Finding]:
    faults = list(faults_of_ai(chosen))
    for text in faults:
        yield Finding(check="ai", health=Health.BAD, text=text, cure="mend the setting on the hosts of the ai workers")
    if not faults and (names := profiles(chosen)):
        yield Finding(check="ai", health=Health.GOOD, text=f"providers: {', '.join(names)}")


def _engine(chosen: Settings) -> Iterator[Finding]:
    engine = HttpEngine(Transport(chosen.engine))
    yield Finding(check="engine", health=Health.GOOD, text=f"version {engine.version()} at {chosen.engine.url}")
    if not engine.knows_json:
        yield Finding(
            check="engine",
            health=Health.WARNING,
            text="the engine has no Spin: lists and dicts are stored as text of at most 4,000 characters",
            cure="add the engine's Spin plug-in",
        )
    if not is_let_in(chosen.engine) and urlsplit(chosen.engine.url).hostname not in LOOPBACK:
        yield Finding(
            check="engine",
            health=Health.WARNING,
            text="the engine answers without credentials, and whoever may deploy to it may run code in it",
            cure="switch its authentication on, then set PROCOS_ENGINE_USER and PROCOS_ENGINE_PASSWORD",
        )


def _broker(chosen: Settings) -> Iterator[Finding]:
    found = depths(chosen.broker, by_queue())
    yield Finding(check="broker", health=Health.GOOD, text=f"answers; queues {', '.join(found)}")
    if not chosen.broker.url.startswith("amqp"):
        yield Finding(
            check="broker",
            health=Health.WARNING,
            text="Redis as broker: no confirms, no dead letters, and a dead worker's tasks wait a minute longer",
            cure="use RabbitMQ in production",
        )
        return
    if waiting := depths(chosen.broker, [SHELF])[SHELF].ready:
        yield Finding(
            check="broker",
            health=Health.WARNING,
            text=f"{waiting} dead letters wait for somebody to look",
            cure="procos dead-letters",
        )
    for name, depth in found.items():
        if depth.missing or not depth.consumers:
            yield Finding(
                check="broker",
                health=Health.WARNING,
                text=f"no worker consumes queue {name}; {depth.ready} tasks wait",
                cure=f"celery -A procos.app worker -Q {name}",
            )


def _redis(chosen: Settings) -> Iterator[Finding]:
    client = redis.Redis.from_url(chosen.redis.url, decode_responses=True, socket_timeout=chosen.redis.timeout)
    try:
        facts = client.info()
    except redis.RedisError as error:
        address = without_secrets(chosen.redis.url)
        cure = "start it with `procos up`, or set PROCOS_REDIS_URL"
        yield Finding(check="redis", health=Health.UNREACHABLE, text=f"{address}: {error}", cure=cure)
        return
    yield Finding(check="redis", health=Health.GOOD, text=f"version {facts['redis_version']} answers")
    if not facts.get("aof_enabled"):
        yield Finding(
            check="redis",
            health=Health.WARNING,
            text="Redis does not persist every change: after a crash steps in flight may run a second time",
            cure="set appendonly yes",
        )
    if str(facts.get("maxmemory_policy", "noeviction")) != "noeviction":
        yield Finding(
            check="redis",
            health=Health.BAD,
            text=f"Redis evicts keys when memory is full ({facts['maxmemory_policy']}), the ledger's among them",
            cure="set maxmemory-policy noeviction",
        )


def _blobs(chosen: Settings) -> Iterator[Finding]:
    if chosen.blobs.url is None:
        return
    store = blob_store(chosen.blobs)
    store.probe()
    yield Finding(check="blobs", health=Health.GOOD, text=f"can be written and read at {store.address}")


def _models(chosen: Settings) -> Iterator[Finding]:
    for path in find_models([chosen.process_directory]):
        try:
            model = read_model(path, routes=routes())
        except ProcosError as error:
            yield Finding(check="models", health=Health.BAD, text=str(error), cure="mend the model, or add a route")
        else:
            yield Finding(check="models", health=Health.GOOD, text=f"{path}: {', '.join(model.topics) or 'no topics'}")


def _deployed(chosen: Settings) -> Iterator[Finding]:
    transport = Transport(chosen.engine)
    deployed = [definition.key for definition in Processes(transport).definitions()]
    yield Finding(check="deployed", health=Health.GOOD, text=", ".join(deployed) or "no process is deployed yet")
    for topic in sorted(set(HttpEngine(transport).open_topics()) - routes().keys()):
        yield Finding(
            check="deployed",
            health=Health.BAD,
            text=f"external tasks wait on topic {topic!r}, which no route serves",
            cure="add a route, or mend the model",
        )


def _print(finding: Finding) -> None:
    cure = f"  ->  {finding.cure}" if finding.cure else ""
    mark = click.style(MARKS[finding.health], fg=COLOURS[finding.health])
    click.echo(f"{mark} {finding.check:<9} {finding.text}{cure}")


def _exit_code(findings: list[Finding]) -> int:
    found = {finding.health for finding in findings}
    if Health.UNREACHABLE in found:
        return 3
    return 1 if Health.BAD in found else 0
