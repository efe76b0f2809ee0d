"""Looks at what AI steps are told: providers, limits, prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.cli.doctor.findings import Finding, Health
from tasks.ai.inspection import faults_of_ai
from tasks.ai.providers.registry import profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.settings import Settings


def ai_findings(chosen: Settings) -> Iterator[Finding]:
    """Say which settings AI steps would stumble over."""
    faults = list(faults_of_ai(chosen))
    for text in faults:
        yield Finding(check="ai", health=Health.BAD, text=text, cure="mend the setting on the hosts of the ai workers")
    if not faults and (names := profiles(chosen)):
        yield Finding(check="ai", health=Health.GOOD, text=f"providers: {', '.join(names)}")
