"""Runs the checks one after the other, and prints what they found, for people or as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from procos.cli.doctor.connections import connection_findings
from procos.cli.doctor.findings import Finding, Health, exit_code
from procos.cli.doctor.models import deployed_findings, models_findings
from procos.cli.doctor.packages import package_findings
from procos.cli.doctor.providers import ai_findings
from procos.cli.doctor.secrets import secret_findings
from procos.cli.doctor.services import blobs_findings, broker_findings, engine_findings, redis_findings
from procos.cli.environment import settings
from procos.domain.errors import ProcosError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procos.settings import Settings

    Check = Callable[[Settings], Iterator[Finding]]

MARKS = {Health.GOOD: "✓", Health.WARNING: "!", Health.BAD: "✗", Health.UNREACHABLE: "✗"}
COLOURS = {Health.GOOD: "green", Health.WARNING: "yellow", Health.BAD: "red", Health.UNREACHABLE: "red"}
CHECKS: Mapping[str, Check] = {
    "packages": package_findings,
    "secrets": secret_findings,
    "connection": connection_findings,
    "ai": ai_findings,
    "engine": engine_findings,
    "broker": broker_findings,
    "redis": redis_findings,
    "blobs": blobs_findings,
    "models": models_findings,
    "deployed": deployed_findings,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool) -> None:
    """Check all a step passes: settings, packages, secrets, connections, AI providers, services, models and routes."""
    findings = list(_findings(settings()))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    sys.exit(exit_code(findings))


def guarded(name: str, check: Check, chosen: Settings) -> Iterator[Finding]:
    """Run a check; where it cannot go on, what stops it is its finding."""
    try:
        yield from check(chosen)
    except UnreachableError as error:
        yield Finding(check=name, health=Health.UNREACHABLE, text=str(error))
    except ProcosError as error:
        yield Finding(check=name, health=Health.BAD, text=str(error))


def _findings(chosen: Settings) -> Iterator[Finding]:
    yield Finding(check="settings", health=Health.GOOD, text=f"{len(chosen.set_by_user)} set, all known")
    for name, check in CHECKS.items():
        yield from guarded(name, check, chosen)


def _print(finding: Finding) -> None:
    cure = f"  ->  {finding.cure}" if finding.cure else ""
    mark = click.style(MARKS[finding.health], fg=COLOURS[finding.health])
    click.echo(f"{mark} {finding.check:<10} {finding.text}{cure}")
