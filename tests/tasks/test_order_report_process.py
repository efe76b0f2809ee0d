"""The process order_report_process: three steps of its model, one after another, without services."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.reporter import Verdict
from procos.testing import StepRunner, model_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.testing import StepResult

FOLDER = Path(__file__).parents[2] / "processes" / "order_report_process"
SAMPLE = json.loads((FOLDER / "sample.json").read_text(encoding="utf-8"))


def run(step: str, variables: Mapping[str, object]) -> StepResult:
    """Run a step of the model with its constants, which the engine would hand over as variables."""
    steps = model_steps(FOLDER / "model.bpmn")
    return StepRunner().run(steps[step], {**variables, **steps[step].constants})


class TestOrderReportProcess:
    def test_writes_what_is_open_as_csv(self) -> None:
        assert run("check", SAMPLE).verdict is Verdict.COMPLETED
        shaped = run("shape", SAMPLE).variables
        assert shaped["open_total"] == 49.5
        assert run("format", {**SAMPLE, **shaped}).variables["formatted_response"] == (
            'number,customer,open\r\nA-1,Ada Lovelace,42.5\r\nA-2,"\'=HYPERLINK(""http://example.org"")",7\r\n'
        )

    def test_refuses_orders_that_are_wrong(self) -> None:
        assert run("check", {"orders": [{"number": 1}]}).error_code == "VALIDATION_FAILED"
