"""What the step and its archive promise; `procos_steps` runs a step as bridge and worker would, without either."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from order_reports.archive import ArchiveConnection, ReportArchive
from procos.domain.errors import BusinessError
from procos.settings import load_settings
from procos.testing.models import model_steps
from tasks.adapters.known import adapters

if TYPE_CHECKING:
    from procos.testing import StepRunner

PROCESS = Path(__file__).parents[1] / "processes" / "filed_order_report"
ORDER = json.loads((PROCESS / "sample.json").read_text("utf-8"))
SOON = 9e9


@pytest.fixture
def archive(tmp_path: Path, procos_steps: StepRunner) -> ReportArchive:
    """The archive that the connection `reports` leads to, in a file of this test."""
    fields = {"type": "report_archive", "file": str(tmp_path / "reports.db"), "key": "a-key-of-the-test"}
    named = {f"PROCOS_CONNECTIONS__REPORTS__{field.upper()}": value for field, value in fields.items()}
    procos_steps.settings = load_settings(named, dotenv=None)
    return ReportArchive(ArchiveConnection.model_validate(fields))


class TestStep:
    def test_files_the_report(self, archive: ReportArchive, procos_steps: StepRunner) -> None:
        result = procos_steps.run("order_report", ORDER)
        assert (result.verdict, result.variables["order_total"]) == ("completed", Decimal("45.48"))
        report = archive.call_service("read_report", {"number": "A-17"}, deadline=SOON, idempotency_key="")
        assert str(report["text"]).splitlines()[-1] == "total 45.48"

    @pytest.mark.usefixtures("archive")
    def test_may_run_twice(self, procos_steps: StepRunner) -> None:
        first, second = (procos_steps.run("order_report", ORDER) for _ in range(2))
        assert first.variables == second.variables

    @pytest.mark.usefixtures("archive")
    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"positions": []}, "ORDER_EMPTY"),
            ({"positions": [{"article": "lamp", "quantity": 0, "price": 1}]}, "INVALID_INPUT"),
            ({"order_number": "A-17/../B-1"}, "INVALID_INPUT"),
        ],
    )
    def test_ends_at_the_boundary_event_of_an_error(
        self, procos_steps: StepRunner, changed: dict[str, object], code: str
    ) -> None:
        step = model_steps(PROCESS / "model.bpmn")["file_report"]
        assert procos_steps.run(step, {**ORDER, **changed}).error_code == code

    def test_is_an_incident_where_there_is_no_archive(self, procos_steps: StepRunner) -> None:
        assert "there is no connection 'nowhere'" in procos_steps.run("order_report", ORDER, archive="nowhere").incident


class TestArchive:
    def test_is_known_to_procos(self) -> None:
        assert adapters()["report_archive"] is ReportArchive

    def test_keeps_what_was_filed_first(self, archive: ReportArchive) -> None:
        archive.call_service("file_report", {"number": "1", "text": "one"}, deadline=SOON, idempotency_key="")
        with pytest.raises(BusinessError, match="REPORT_DIFFERS"):
            archive.call_service("file_report", {"number": "1", "text": "two"}, deadline=SOON, idempotency_key="")

    def test_says_whether_it_can_be_used(self, archive: ReportArchive) -> None:
        assert archive.health_check().is_well
