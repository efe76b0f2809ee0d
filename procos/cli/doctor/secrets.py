"""Looks at the secrets that models may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.cli.doctor.findings import Finding, Health
from procos.routes import routes
from tasks.secrets.inspection import allowed_secrets, faults_of_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings


def secret_findings(chosen: Settings) -> Iterator[Finding]:
    """Say which allowed secrets steps would ask for in vain, and which topics nobody serves."""
    secrets, missing = allowed_secrets(chosen), list(faults_of_secrets(chosen))
    for text in missing:  # the bridge's host knows their names, and needs none of them
        cure = "set it on the hosts of the workers, or take it out of PROCOS_SECRETS_ALLOWED"
        yield Finding(check="secrets", health=Health.WARNING, text=text, cure=cure)
    for topic in sorted(chosen.secrets.allowed.keys() - routes().keys()):
        text = f"PROCOS_SECRETS_ALLOWED names topic {topic!r}, which no route serves"
        yield Finding(check="secrets", health=Health.WARNING, text=text, cure="see `procos routes`")
    if secrets and not missing:
        yield Finding(check="secrets", health=Health.GOOD, text=f"secrets found: {len(secrets)}")
