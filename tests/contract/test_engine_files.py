"""Files at the engine: what a fetch brings of them, how their content comes, and how a result becomes one."""

from __future__ import annotations

import base64
import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bridge.dispatcher import Dispatcher
from bridge.reporter import Reporter, Verdict
from procos.blobs import BlobStore, blob_store, reference_in
from procos.domain.errors import EngineError, EngineRejectedError
from procos.domain.outcome import Completion
from procos.domain.variables import LARGEST_TOGETHER, TypedValue
from procos.engine.endings import endings_of
from procos.engine.paths import path
from procos.engine.processes import ModelFile
from procos.routes import Route
from procos.settings import BlobSettings
from procos.testing import FakeLedger, InstantStop, RecordingPublisher
from tests.contract.engine_labs import fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import ExternalTask, ExternalTaskId, Topic
    from tests.contract.engine_labs import EngineLab, RealLab

SCAN = bytes(range(256)) * 20
INFO = {"filename": "Größe 1.pdf", "mimeType": "application/pdf"}

SCOPES = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{key}" isExecutable="true">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="round"/>
  <bpmn:subProcess id="round">
    <bpmn:multiInstanceLoopCharacteristics><bpmn:loopCardinality>2</bpmn:loopCardinality>
    </bpmn:multiInstanceLoopCharacteristics>
    <bpmn:startEvent id="inner_start"/>
    <bpmn:sequenceFlow id="inner_in" sourceRef="inner_start" targetRef="step"/>
    <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{key}"/>
  </bpmn:subProcess>
</bpmn:process>
</bpmn:definitions>"""
CALL = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="http://procos/tests">
<bpmn:process id="{key}" isExecutable="true">
  <bpmn:startEvent id="start"/>
  <bpmn:sequenceFlow id="in" sourceRef="start" targetRef="call"/>
  <bpmn:callActivity id="call" calledElement="{called}">
    <bpmn:extensionElements><camunda:in variables="all"/></bpmn:extensionElements>
  </bpmn:callActivity>
  <bpmn:sequenceFlow id="on" sourceRef="call" targetRef="step"/>
  <bpmn:serviceTask id="step" camunda:type="external" camunda:topic="{key}"/>
</bpmn:process>
</bpmn:definitions>"""


def typed(kind: str, content: bytes, **info: str) -> TypedValue:
    return TypedValue(type=kind, value=base64.b64encode(content).decode(), value_info=info)


def content(lab: EngineLab, task: ExternalTask, name: str = "scan") -> bytes:
    with lab.engine.content(task, name) as pieces:
        return b"".join(pieces)


def stored(lab: Any, task_id: ExternalTaskId, name: str) -> tuple[str, dict[str, object], bytes]:
    """Return what a step that has ended has set: type, what is known of it, and its content."""
    transport = getattr(lab, "transport", None)
    if transport is None:
        value = lab.engine.completed[task_id][name]
        return value.type, dict(value.value_info), base64.b64decode(value.value)
    question = {"processInstanceId": lab._instances[task_id], "variableName": name}
    (row,) = transport.get("/history/variable-instance", question)
    with transport.download(path("history", "variable-instance", row["id"], "data")) as pieces:
        return row["type"], row["valueInfo"], b"".join(pieces)


def one(lab: EngineLab, **variables: object) -> tuple[ExternalTaskId, ExternalTask]:
    """Let an instance arrive at a step with these variables, and fetch it."""
    topic = lab.topic()
    task_id = lab.start(topic, variables=variables)
    (task,) = fetch(lab, topic)
    return task_id, task


class TestFetch:
    def test_brings_of_a_file_all_but_what_is_in_it(self, lab: EngineLab) -> None:
        _, task = one(lab, scan=typed("File", SCAN, **INFO, encoding="UTF-8"))
        assert task.variables["scan"] == TypedValue(type="File", value=None, value_info={**INFO, "encoding": "UTF-8"})

    def test_brings_bytes_as_they_are(self, lab: EngineLab) -> None:
        _, task = one(lab, raw=typed("Bytes", SCAN))
        assert task.variables["raw"].type == "Bytes"
        assert base64.b64decode(str(task.variables["raw"].value)) == SCAN


class TestContent:
    @pytest.mark.parametrize("kind", ["File", "Bytes"])
    @pytest.mark.parametrize("octets", [SCAN, b"", bytes(5_000_000)], ids=["some", "none", "much"])
    def test_is_what_was_stored(self, lab: EngineLab, kind: str, octets: bytes) -> None:
        _, task = one(lab, scan=typed(kind, octets, **(INFO if kind == "File" else {})))
        assert content(lab, task) == octets

    def test_of_an_instance_that_is_gone_is_refused(self, lab: EngineLab) -> None:
        task_id, task = one(lab, scan=typed("File", SCAN, **INFO))
        lab.cancel(task_id)
        with pytest.raises(EngineError, match=r"gone|does not exist"):
            content(lab, task)


class TestResult:
    def test_may_be_a_file(self, lab: EngineLab) -> None:
        task_id, _ = one(lab)
        info = {"filename": "report.txt", "mimeType": "text/plain", "encoding": "UTF-8"}
        lab.engine.complete(task_id, "me", {"report": typed("File", SCAN, **info), "n": 1})
        assert stored(lab, task_id, "report") == ("File", info, SCAN)

    def test_may_be_bytes(self, lab: EngineLab) -> None:
        task_id, _ = one(lab)
        lab.engine.complete(task_id, "me", {"report": typed("Bytes", SCAN)})
        kind, _, octets = stored(lab, task_id, "report")
        assert (kind, octets) == ("Bytes", SCAN)

    def test_is_no_file_without_a_name(self, lab: EngineLab) -> None:
        task_id, _ = one(lab)
        with pytest.raises(EngineRejectedError):
            lab.engine.complete(task_id, "me", {"report": typed("File", SCAN)})
        assert lab.engine.find(task_id)

    def test_is_taken_up_to_the_largest_that_is_sent(self, real_lab: RealLab) -> None:
        task_id, _ = one(real_lab)
        real_lab.engine.complete(task_id, "me", {"report": typed("File", bytes(LARGEST_TOGETHER), **INFO)})
        assert len(stored(real_lab, task_id, "report")[2]) == LARGEST_TOGETHER


class TestScopes:
    def test_each_have_a_file_of_their_own(self, real_lab: RealLab) -> None:
        lab, topic = real_lab, real_lab.topic()
        lab.processes.deploy(topic, [ModelFile(name=f"{topic}.bpmn", content=SCOPES.format(key=topic).encode())])
        instance = lab.processes.start(topic, {"scan": typed("File", b"whole", **INFO)})
        first, second = fetch(lab, topic)
        assert [content(lab, task) for task in (first, second)] == [b"whole", b"whole"]

        # What is around each of the two steps gets a file of the same name, then one of them its own.
        tree = lab.transport.get(f"/process-instance/{instance}/activity-instances")
        (body,) = tree["childActivityInstances"]
        rounds = {each["childActivityInstances"][0]["id"]: each for each in body["childActivityInstances"]}
        for task, name in ((first, "first"), (second, "second")):
            (execution,) = rounds[task.activity_instance_id]["executionIds"]
            assign(lab, execution, name)
        assert [content(lab, task) for task in (first, second)] == [b"first", b"second"]

        assign(lab, first.execution_id, "own")
        assert [content(lab, task) for task in (first, second)] == [b"own", b"second"]


def assign(lab: RealLab, execution: str, name: str) -> None:
    value = typed("File", name.encode(), **INFO)
    body = {"type": value.type, "value": value.value, "valueInfo": dict(value.value_info)}
    lab.transport.put(f"/execution/{execution}/localVariables/scan", body)


class TestBridge:
    """Dispatcher and reporter on both engines: a file in, a file out, and the blob between them."""

    @pytest.fixture
    def blobs(self) -> BlobSettings:
        return BlobSettings(url=f"memory://{uuid.uuid4().hex}")

    @pytest.fixture
    def dispatched(self, lab: EngineLab, blobs: BlobSettings) -> Callable[..., Any]:
        """Let a step with a file be dispatched; returns its dispatch."""

        def dispatch(topic: Topic, ledger: FakeLedger) -> Any:
            publisher, table = RecordingPublisher(), {topic: Route(task_name="t", queue="ai", module="m")}
            dispatcher = Dispatcher(
                lab.engine, ledger, publisher, table, queue="ai", lease=timedelta(minutes=5), blobs=blobs,
                stop=InstantStop(),
            )  # fmt: skip
            dispatcher.dispatch(fetch(lab, topic, "me/ai"))
            assert dispatcher.await_files(30)
            (publication,) = publisher.published
            return publication.dispatch

        return dispatch

    def test_brings_a_file_to_the_store_and_back(
        self, lab: EngineLab, blobs: BlobSettings, dispatched: Callable[..., Any]
    ) -> None:
        topic, ledger = lab.topic(), FakeLedger()
        task_id = lab.start(topic, variables={"scan": typed("File", SCAN, **INFO), "raw": typed("Bytes", b"raw")})
        dispatch = dispatched(topic, ledger)
        scan, raw = (reference_in(name, dispatch.variables[name]) for name in ("scan", "raw"))
        assert (scan.name, scan.media_type) == (INFO["filename"], INFO["mimeType"])
        assert blob_store(blobs).read(scan) == SCAN
        assert blob_store(blobs).read(raw) == b"raw"

        reporter = Reporter(lab.engine, ledger, {}, is_ours=lambda _: True, blobs=blobs, stop=InstantStop())
        done = Completion(variables={"copy": scan.as_file().to_json(), "raw_copy": raw.as_bytes().to_json()})
        assert reporter.report(dispatch.ref, done) is Verdict.COMPLETED
        assert stored(lab, task_id, "copy") == ("File", INFO, SCAN)
        assert stored(lab, task_id, "raw_copy")[2] == b"raw"

    def test_lets_other_steps_pass_while_the_store_hangs(
        self, lab: EngineLab, blobs: BlobSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        let_go, put = threading.Event(), BlobStore.put

        def hang(self: BlobStore, *args: Any, **options: Any) -> Any:
            assert let_go.wait(30)
            return put(self, *args, **options)

        monkeypatch.setattr(BlobStore, "put", hang)
        topic, publisher = lab.topic(), RecordingPublisher()
        dispatcher = Dispatcher(
            lab.engine, FakeLedger(), publisher, {topic: Route(task_name="t", queue="ai", module="m")}, queue="ai",
            lease=timedelta(minutes=5), blobs=blobs, stop=threading.Event(),
        )  # fmt: skip
        with_file = lab.start(topic, variables={"scan": typed("File", SCAN, **INFO)})
        dispatcher.dispatch(fetch(lab, topic, "me/ai"))
        plain = lab.start(topic)
        dispatcher.dispatch(fetch(lab, topic, "me/ai"))
        assert [each.dispatch.ref.external_task_id for each in publisher.published] == [plain]
        let_go.set()
        assert dispatcher.await_files(30)
        assert [each.dispatch.ref.external_task_id for each in publisher.published] == [plain, with_file]


class TestEndings:
    def test_of_a_called_instance_wait_for_its_caller(self, real_lab: RealLab) -> None:
        lab, called, key = real_lab, real_lab.topic(), real_lab.topic()
        child_task = lab.start(called)  # deploys it
        lab.cancel(child_task)
        lab.processes.deploy(
            key, [ModelFile(name=f"{key}.bpmn", content=CALL.format(key=key, called=called).encode())]
        )  # fmt: skip
        parent = lab.processes.start(key, {"priority": 0})
        (step,) = fetch(lab, called)
        child = step.process_instance_id
        lab.engine.complete(step.id, "me", {})
        assert {name: each.at for name, each in endings_of(lab.transport, [parent, child, "stranger"]).items()} == {
            parent: None, child: None,
        }  # fmt: skip

        (last,) = fetch(lab, key)
        lab.engine.complete(last.id, "me", {})
        ended = endings_of(lab.transport, [parent, child])
        assert ended[child].at is not None
        assert ended[child] == ended[parent]
