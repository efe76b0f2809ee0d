"""Files and large values on their whole way: engine, store, dispatch, task, store, engine."""

from __future__ import annotations

import base64
import sys
import uuid
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from bridge.reporter import Verdict
from procos import routes as route_table
from procos.app import app
from procos.blobs import blob_store, is_reference, reference_in
from procos.domain.variables import TypedValue
from procos.settings import BlobSettings
from procos.testing import FakeEngine, StepRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parents[2] / "samples"
LINES = b"one\ntwo\nthree\n" * 10_000
SCAN = TypedValue(
    type="File", value=base64.b64encode(LINES).decode(), value_info={"filename": "scan.txt", "mimeType": "text/plain"}
)


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sample package, as its entry point would bring it."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    own = import_module("sample_tasks.routes")
    table = MappingProxyType({**route_table.ROUTES, **own.ROUTES, **own.ODD_ROUTES})
    for module in ("procos.routes", "procos.testing.runner", "tasks.task"):
        monkeypatch.setattr(f"{module}.routes", lambda: table)
    queues = {str(route.queue): {t: r for t, r in table.items() if r.queue == route.queue} for route in table.values()}
    monkeypatch.setattr("procos.testing.runner.by_queue", lambda: queues)
    yield
    for name in [name for name in app.tasks if name.startswith("sample.")]:
        del app.tasks[name]
    for name in [name for name in sys.modules if name.partition(".")[0] == "sample_tasks"]:
        del sys.modules[name]


@pytest.fixture
def blobs() -> BlobSettings:
    return BlobSettings(url=f"memory://{uuid.uuid4().hex}", above=4096)


@pytest.fixture
def steps(blobs: BlobSettings) -> StepRunner:
    return StepRunner(FakeEngine(), blobs=blobs)


class TestFile:
    def test_goes_to_a_task_and_comes_back_as_another(self, steps: StepRunner) -> None:
        result = steps.run("sample_scan", scan=SCAN, notes="read twice")
        assert result.verdict is Verdict.COMPLETED
        report = result.variables["report"]
        assert isinstance(report, TypedValue)
        assert (result.variables["lines"], report.type, report.value_info["filename"]) == (30_000, "File", "report.txt")
        assert base64.b64decode(str(report.value)) == b"scan.txt: 30000 lines\nread twice"

    def test_without_a_store_is_an_incident_that_names_the_cure(self) -> None:
        result = StepRunner(FakeEngine()).run("sample_scan", scan=SCAN)
        assert result.verdict is Verdict.INCIDENT
        assert "PROCOS_BLOBS_URL" in result.incident

    def test_that_is_missing_when_it_is_read_is_an_incident(self, steps: StepRunner, blobs: BlobSettings) -> None:
        kept = blob_store(blobs).put(b"gone", under="instance-1")
        blob_store(blobs).put(b"another", under="instance-2")
        blob_store(blobs).remove("instance-1")
        result = steps.run("sample_scan", scan=kept.to_json())
        assert result.verdict is Verdict.INCIDENT
        assert "is not in the store" in result.incident


class TestLargeValue:
    def test_is_kept_by_one_step_and_read_by_the_next(self, steps: StepRunner, blobs: BlobSettings) -> None:
        long, rows = "é" * 5000, [{"n": number} for number in range(1000)]
        first = steps.run("sample_values", text=long, rows=rows, small=1).variables
        assert first["small_back"] == 1
        assert is_reference(first["text_back"])
        assert blob_store(blobs).read(reference_in("rows", first["rows_back"]))
        second = steps.run("sample_scan", scan=first["rows_back"], notes=first["text_back"]).variables
        assert isinstance(second["report"], TypedValue)
        assert base64.b64decode(str(second["report"].value)).decode().endswith(long)

    def test_is_the_value_itself_to_a_task_that_knows_nothing_of_it(self, steps: StepRunner) -> None:
        long = "x" * 5000
        kept = steps.run("sample_values", text=long).variables["text_back"]
        back = steps.run("sample_values", text=kept).variables["text_back"]
        assert back != long  # large again, so it is kept again
        assert isinstance(back, dict)
        assert isinstance(kept, dict)
        assert back["sha256"] == kept["sha256"]
