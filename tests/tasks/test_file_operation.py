"""Topic file_operation: a step through the real wrapper, from its variables to what the process sees."""

from __future__ import annotations

import tempfile
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.app import app
from procos.domain.errors import TaskError
from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.settings import BlobSettings, load_settings
from procos.testing import StepRunner
from tasks.context import TaskContext
from tasks.generic.file_operation import FileOperationInput, file_operation
from tests.tasks.files_roots import SECRET, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPERATIONS = ["read", "write", "list", "stat", "delete", "copy", "checksum"]
TAKES = {
    "read": {"read_as", "encoding"},
    "write": {"content", "encoding", "overwrite"},
    "copy": {"target", "overwrite"},
    "list": {"pattern", "recursive", "depth"},
}
SPECIAL = (
    "..",
    ".",
    "",
    "file.txt",
    "inner",
    "outside",
    "secret.txt",
    "given",
    "link",
    "\0",
    "\\",
    "~",
    "C:",
    "%2e%2e",
)
PARTS = st.sampled_from([*SPECIAL, "\u2025"]) | st.text(max_size=4)
PATHS = st.lists(PARTS, max_size=6).map("/".join)
JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.text(max_size=2), max_size=2)
NEEDED = {"connection": st.just("outbox") | JSON, "operation": st.sampled_from(OPERATIONS) | JSON}
MORE = ("path", "target", "content", "json", "read_as", "encoding", "overwrite", "pattern", "recursive", "depth")


def context_for(root: Path) -> TaskContext:
    names = {
        "PROCOS_CONNECTIONS__OUTBOX__TYPE": "files",
        "PROCOS_CONNECTIONS__OUTBOX__URL": str(root),
        "PROCOS_CONNECTIONS__OUTBOX__WRITABLE": "true",
        "PROCOS_CONNECTIONS__OUTBOX__DELETABLE": "true",
    }
    return TaskContext(
        external_task_id=ExternalTaskId("task-1"),
        process_instance_id=ProcessInstanceId("instance-1"),
        business_key=None,
        topic=Topic("file_operation"),
        celery_id="celery-1",
        settings=load_settings(names, dotenv=None),
        deadline=time.monotonic() + 60,
        started_before=True,
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    own, connections = app.conf.procos, context_for(tmp_path).settings.connections
    app.conf.procos = own.model_copy(update={"connections": connections})
    steps = StepRunner(blobs=BlobSettings(url="memory://file-operation"))

    def run(**variables: Any) -> Any:
        return steps.run("file_operation", {"connection": "outbox", **variables}, catches=["PATH_DENIED"])

    yield run
    app.conf.procos = own


class TestFileOperation:
    def test_writes_what_it_reads_again(self, run: Callable[..., Any], tmp_path: Path) -> None:
        written = run(operation="write", path="orders/1.json", json={"total": 7})
        assert (written.verdict, written.variables["already_there"]) == ("completed", False)
        assert (tmp_path / "orders/1.json").read_text() == '{"total": 7}\n'
        assert run(operation="read", path="orders/1.json").variables["content"] == {"total": 7}

    def test_does_not_look_at_what_another_operation_takes(self, run: Callable[..., Any]) -> None:
        listed = run(operation="list", content="of the step before", target="../..")
        assert (listed.variables["entries"], listed.variables["truncated"]) == ([], False)

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_does_not_mind_what_another_operation_would_refuse(
        self, run: Callable[..., Any], tmp_path: Path, operation: str
    ) -> None:
        (tmp_path / "a.txt").write_text("x")
        own = {"path": "" if operation == "list" else "a.txt"}
        own |= {"copy": {"target": "b.txt"}, "write": {"content": "x"}}.get(operation, {})
        others = {"content", "target", "read_as", "encoding", "overwrite", "pattern", "recursive", "depth"}
        foreign = {name: ["something", "else"] for name in others - TAKES.get(operation, set())}
        assert run(operation=operation, **{**foreign, **own}).verdict == "completed"

    @pytest.mark.parametrize("operation", TAKES)
    def test_refuses_what_it_takes_and_cannot_use(self, run: Callable[..., Any], operation: str) -> None:
        for name in TAKES[operation]:
            refused = run(operation=operation, path="a.txt", **{name: ["something", "else"]})
            assert "INVALID_INPUT" in (refused.incident or ""), name

    def test_keeps_what_is_no_text_in_the_blob_store(self, run: Callable[..., Any], tmp_path: Path) -> None:
        (tmp_path / "scan.pdf").write_bytes(b"%PDF\xff")
        reference = run(operation="read", path="scan.pdf").variables["content"]
        assert (reference["media_type"], reference["name"]) == ("application/pdf", "scan.pdf")
        run(operation="write", path="copy.pdf", content=reference)
        assert (tmp_path / "copy.pdf").read_bytes() == b"%PDF\xff"

    def test_ends_at_a_boundary_event_that_catches_its_error(self, run: Callable[..., Any]) -> None:
        assert run(operation="read", path="../secret.txt").error_code == "PATH_DENIED"

    def test_makes_an_incident_of_what_an_operator_must_mend(self, run: Callable[..., Any]) -> None:
        assert "there is no connection 'inbox'" in run(operation="read", path="a", connection="inbox").incident

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_may_run_twice(self, tmp_path: Path, operation: str) -> None:
        (tmp_path / "a.txt").write_text("x")
        more = {"list": {"path": ""}, "copy": {"target": "b.txt"}, "write": {"content": "x"}}.get(operation, {})
        step = FileOperationInput.model_validate(
            {"connection": "outbox", "operation": operation, "path": "a.txt", **more}
        )
        for _ in range(2):
            assert file_operation(step, context_for(tmp_path))


class TestAnyPath:
    @settings(max_examples=80, deadline=None)
    @given(operation=st.sampled_from(OPERATIONS), path=PATHS, target=PATHS, recursive=st.booleans())
    def test_stays_in_the_root(self, operation: str, path: str, target: str, *, recursive: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            around = Surroundings.made(Path(folder))
            (around.root / "link").symlink_to(around.outside)
            before, result = around.seen(), {}
            step = FileOperationInput.model_validate({
                "connection": "outbox", "operation": operation, "path": path, "target": target, "content": "x",
                "overwrite": "replace", "recursive": recursive,
            })  # fmt: skip
            with suppress(TaskError):
                result = dict(file_operation(step, context_for(around.root)))
            assert around.seen() == before
            assert SECRET not in str(result)

    @settings(max_examples=100, deadline=None)
    @given(st.fixed_dictionaries(NEEDED, optional=dict.fromkeys(MORE, JSON)))
    def test_and_any_other_variable_end_as_a_value_or_an_error_of_a_task(self, variables: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder, suppress(TaskError, ValidationError):
            assert file_operation(FileOperationInput.model_validate(variables), context_for(Path(folder)))


class TestDocument:
    def test_shows_a_step_that_runs(self, run: Callable[..., Any], tmp_path: Path) -> None:
        text = (Path(__file__).parents[2] / "docs/services/files.md").read_text()
        step = text.partition("```xml\n")[2].partition("```")[0]
        spaces = 'xmlns:bpmn="http://bpmn" xmlns:camunda="http://camunda"'
        found = ET.fromstring(f"<x {spaces}>{step}</x>").iter("{http://camunda}inputParameter")  # noqa: S314  # our own
        given = {each.attrib["name"]: each.text or "" for each in found}
        assert run(**{**given, "path": "orders/1.json", "json": {"a": 1}}).verdict == "completed"
        assert (tmp_path / "orders/1.json").exists()
