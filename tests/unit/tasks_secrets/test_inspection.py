"""`procos doctor` says which secrets and connections steps would ask for in vain, without a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.cli.doctor.connections import connection_findings
from procos.cli.doctor.findings import Health
from procos.cli.doctor.secrets import secret_findings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procos.settings import Settings


class TestDoctor:
    def test_says_nothing_where_there_is_nothing(self, settings_with: Callable[..., Settings]) -> None:
        assert [*secret_findings(settings_with()), *connection_findings(settings_with())] == []

    def test_warns_of_allowed_secrets_that_are_not_here(self, settings_with: Callable[..., Settings]) -> None:
        allowed = '{"ai_query": ["THERE", "GONE"]}'
        settings = settings_with(PROCOS_SECRETS_ALLOWED=allowed, PROCOS_SECRETS__THERE="hunter-two")
        (finding,) = secret_findings(settings)
        assert finding.health is Health.WARNING
        assert "GONE" in finding.text
        assert "THERE" not in finding.text

    def test_refuses_connections_that_cannot_be_filled(
        self, settings_with: Callable[..., Settings], connection_folder: Path
    ) -> None:
        (connection_folder / "broken.json").write_text("hunter")
        settings = settings_with(
            PROCOS_CONNECTIONS__CRM__TOKEN="{{secrets.GONE}}", PROCOS_CONNECTIONS__SHOP__TOKEN="hunter-plain"
        )
        findings = list(connection_findings(settings))
        assert [finding.health for finding in findings] == [Health.BAD, Health.BAD, Health.GOOD]
        assert "broken.json" in findings[0].text
        assert "connection 'crm', field 'token'" in findings[1].text
        assert "hunter" not in "".join(finding.text for finding in findings)

    def test_warns_of_topics_nobody_serves(self, settings_with: Callable[..., Settings]) -> None:
        settings = settings_with(PROCOS_SECRETS_ALLOWED='{"ai_querry": ["A"]}', PROCOS_SECRETS__A="hunter-two")
        assert "ai_querry" in next(iter(secret_findings(settings))).text

    def test_counts_what_it_found(self, settings_with: Callable[..., Settings], connection_folder: Path) -> None:
        (connection_folder / "crm.toml").write_text('token = "{{secrets.A}}"')
        settings = settings_with(PROCOS_SECRETS_ALLOWED='{"ai_query": ["A"]}', PROCOS_SECRETS__A="hunter-two")
        (finding,) = secret_findings(settings)
        assert (finding.health, finding.text) == (Health.GOOD, "secrets found: 1")
