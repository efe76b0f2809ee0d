"""What is too large for a variable: kept when a task ends, and read again for the next; small values cost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from procos.blobs import BlobReference, BlobStore, blob_store, is_reference, reference_in
from procos.domain.errors import BlobsUnreachableError, BusinessError, PermanentError
from procos.domain.outcome import BpmnError, Completion, Failure, Postponement
from procos.settings import Settings, load_settings
from tasks.large_values import kept_apart, largest_result, readable, with_references_written

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTANCE = "instance-1"
ABOVE = 5000
LONG = "é" * ABOVE
ROWS = [{"n": number, "text": "x" * 100} for number in range(100)]


class Question(BaseModel):
    text: str = ""
    rows: list[dict[str, Any]] = []
    anything: Any = None
    scan: BlobReference | None = None
    scans: list[BlobReference] = []
    either: str | Annotated[BlobReference, "a blob"] = ""
    other: str = Field("", alias="otherName")
    old: BlobReference | None = Field(None, validation_alias=AliasChoices("new", "old_name"))


class Everything(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.fixture
def settings() -> Settings:
    return with_store()


@pytest.fixture
def store(settings: Settings) -> BlobStore:
    return blob_store(settings.blobs)


def with_store(**more: object) -> Settings:
    chosen = {"BLOBS_URL": f"memory://{uuid.uuid4().hex}", "BLOBS_ABOVE": ABOVE, **more}
    return load_settings({f"PROCOS_{name}": str(value) for name, value in chosen.items()}, dotenv=None)


def ended(result: Mapping[str, object], settings: Settings) -> Any:
    return kept_apart(Completion(variables=result), under=INSTANCE, settings=settings)


def sent(result: Mapping[str, object], settings: Settings) -> dict[str, Any]:
    outcome = ended(result, settings)
    assert isinstance(outcome, Completion), outcome
    return dict(outcome.variables)


def failed(result: Mapping[str, object], settings: Settings) -> Failure:
    outcome = ended(result, settings)
    assert isinstance(outcome, Failure)
    return outcome


def go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlobsUnreachableError("memory://", "away")

    monkeypatch.setattr(BlobStore, "put", fail)
    monkeypatch.setattr(BlobStore, "read", fail)


class TestResult:
    @pytest.mark.parametrize(
        ("value", "media_type"),
        [(LONG, "text/plain; charset=utf-8"), (ROWS, "application/json"), ({"rows": ROWS}, "application/json")],
        ids=["text", "list", "object"],
    )
    def test_that_is_large_travels_as_a_reference_and_is_read_again(
        self, settings: Settings, value: object, media_type: str
    ) -> None:
        travels = sent({"answer": value, "n": 1}, settings)
        kept = reference_in("answer", travels["answer"])
        assert (travels["n"], kept.media_type, kept.process_instance_id) == (1, media_type, INSTANCE)
        assert readable(Everything, travels, settings) == {"answer": value, "n": 1}

    def test_that_is_small_stays_what_it_is(self, settings: Settings) -> None:
        result = {"answer": "é" * (ABOVE // 2), "rows": ROWS[:10], "n": 2**70}
        assert sent(result, settings) == result

    def test_is_measured_in_bytes_of_json(self, settings: Settings) -> None:
        largest = "x" * (ABOVE - 4) + "é"
        assert sent({"answer": largest}, settings) == {"answer": largest}
        assert is_reference(sent({"answer": largest + "x"}, settings)["answer"])

    def test_twice_is_one_blob(self, settings: Settings, store: BlobStore) -> None:
        assert sent({"answer": LONG}, settings) == sent({"answer": LONG}, settings)
        assert [each.blobs for each in store.holdings()] == [1]

    def test_may_hold_references_of_the_authors_own(self, settings: Settings, store: BlobStore) -> None:
        kept = store.put(b"%PDF", under=INSTANCE, media_type="application/pdf").as_file("a.pdf")
        result = with_references_written({"scan": kept, "n": 1})
        assert result == {"scan": kept.to_json(), "n": 1}
        assert sent(result, settings) == result

    def test_of_an_error_is_kept_too(self, settings: Settings) -> None:
        error = BpmnError(code="REFUSED", message="no", variables={"why": LONG})
        outcome = kept_apart(error, under=INSTANCE, settings=settings)
        assert isinstance(outcome, BpmnError)
        assert (outcome.code, outcome.message) == ("REFUSED", "no")
        assert is_reference(outcome.variables["why"])

    @pytest.mark.parametrize("outcome", [Failure(message="x"), Postponement(retry_in=timedelta(1), reason="x")])
    def test_of_a_try_that_failed_is_none(self, settings: Settings, outcome: Failure | Postponement) -> None:
        assert kept_apart(outcome, under=INSTANCE, settings=settings) is outcome

    def test_that_no_variable_can_hold_is_refused_before_anything_is_kept(
        self, settings: Settings, store: BlobStore
    ) -> None:
        assert "'bad'" in failed({"answer": LONG, "bad": float("nan")}, settings).message
        assert store.holdings() == []

    def test_that_is_too_large_for_the_store_is_refused_by_name(self) -> None:
        failure = failed({"answer": LONG}, with_store(BLOBS_LARGEST=ABOVE))
        assert (failure.code, failure.permanent) == ("VARIABLE", True)
        assert "'answer'" in failure.message
        assert "PROCOS_BLOBS_LARGEST" in failure.message

    def test_stays_what_it_is_without_a_store(self) -> None:
        result = {"answer": LONG}
        assert ended(result, load_settings({}, dotenv=None)).variables is result

    def test_of_many_middling_values_is_refused_with_a_store_too(self) -> None:
        failure = failed({"one": "x" * 4000, "two": "x" * 4000}, with_store(WORKER_LARGEST_RESULT=6000))
        assert failure.message.endswith("at most 6000 are carried")

    def test_of_letters_that_a_message_does_not_hold_is_a_matter_for_the_store(self) -> None:
        """Each is two bytes as a variable, and six on its way."""
        letters = {"answer": "щ" * 2_700_000}
        for settings, travels in ((with_store(), False), (load_settings({}, dotenv=None), True)):
            assert largest_result(settings).travels is travels
        assert is_reference(sent(letters, with_store())["answer"])

    def test_for_which_no_driver_is_there_is_a_failure_that_names_the_setting(self) -> None:
        assert "PROCOS_BLOBS_URL" in failed({"answer": LONG}, with_store(BLOBS_URL="nothing://here")).message


class TestLargestResult:
    def test_is_what_a_message_carries_with_the_cure_for_more(self) -> None:
        limit = largest_result(load_settings({"PROCOS_WORKER_LARGEST_RESULT": "6000"}, dotenv=None))
        assert limit.bytes == 6000
        assert "PROCOS_BLOBS_URL" in limit.cure

    def test_is_what_a_blob_may_have_where_there_is_a_store(self) -> None:
        limit = largest_result(with_store(BLOBS_LARGEST=100_000_000))
        assert (limit.bytes, limit.cure) == (100_000_000, "")


class TestStoreThatIsAway:
    def test_costs_nothing_where_a_message_carries_the_result(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_away(monkeypatch)
        assert sent({"answer": LONG}, settings) == {"answer": LONG}

    def test_is_another_try_where_none_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        go_away(monkeypatch)
        failure = failed({"answer": LONG}, with_store(WORKER_LARGEST_RESULT=6000))
        assert (failure.code, failure.permanent) == ("BLOBS_UNREACHABLE", False)

    def test_is_another_try_for_who_reads(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        travels = sent({"text": LONG}, settings)
        go_away(monkeypatch)
        with pytest.raises(BlobsUnreachableError):
            readable(Question, travels, settings)


class TestInput:
    def test_of_a_field_for_references_is_the_reference(self, settings: Settings, store: BlobStore) -> None:
        kept = store.put(b"text", under=INSTANCE, media_type="text/plain").to_json()
        given = {"scan": kept, "either": kept, "old_name": kept, "scans": [kept], "text": kept, "otherName": kept}
        read = readable(Question, given, settings)
        assert read == {**given, "text": "text", "otherName": "text"}
        built = Question.model_validate(read)
        assert built.scan == built.either == built.old == built.scans[0] == reference_in("scan", kept)

    def test_of_any_other_field_is_what_it_leads_to(self, settings: Settings, store: BlobStore) -> None:
        rows = store.put(json.dumps(ROWS).encode(), under=INSTANCE, media_type="application/json").to_json()
        csv = store.put("a;ü".encode("latin-1"), under=INSTANCE, media_type="text/csv; charset=latin-1").to_json()
        read = readable(Question, {"rows": rows, "anything": csv}, settings)
        assert read == {"rows": ROWS, "anything": "a;ü"}

    def test_of_no_text_stays_a_reference(self, settings: Settings, store: BlobStore) -> None:
        kept = store.put(b"%PDF", under=INSTANCE, media_type="application/pdf").to_json()
        assert readable(Question, {"anything": kept}, settings) == {"anything": kept}

    def test_that_the_task_does_not_read_is_not_looked_at(self, settings: Settings) -> None:
        broken = {"procos_blob": 1, "key": "../x"}
        assert readable(Question, {"unread": broken, "scan": broken}, settings) == {"unread": broken, "scan": broken}

    @pytest.mark.parametrize("broken", [{"procos_blob": 1}, {"procos_blob": 2}, {"procos_blob": 1, "key": "/etc/x"}])
    def test_that_is_no_reference_is_invalid_and_names_the_variable(
        self, settings: Settings, broken: dict[str, object]
    ) -> None:
        with pytest.raises(BusinessError, match="text: is no reference to a blob") as caught:
            readable(Question, {"text": broken}, settings)
        assert caught.value.code == "INVALID_INPUT"

    @pytest.mark.parametrize(
        ("content", "media_type"),
        [(b"\xff", "text/plain"), (b"a", "text/plain; charset=nonsense"), (b"{", "application/json")],
    )
    def test_that_is_not_what_it_says_is_invalid(
        self, settings: Settings, store: BlobStore, content: bytes, media_type: str
    ) -> None:
        kept = store.put(content, under=INSTANCE, media_type=media_type)
        with pytest.raises(BusinessError, match="text: ") as caught:
            readable(Question, {"text": kept.to_json()}, settings)
        assert caught.value.code == "INVALID_INPUT"

    def test_that_is_missing_is_an_incident_that_names_the_variable(self, settings: Settings, store: BlobStore) -> None:
        travels = sent({"text": LONG}, settings)
        store.remove(INSTANCE)
        store.put(b"another", under="instance-2")
        with pytest.raises(PermanentError, match="variable 'text'") as caught:
            readable(Question, travels, settings)
        assert caught.value.code == "BLOB_MISSING"

    def test_that_is_too_much_at_once_is_an_incident_with_the_cure(self, settings: Settings, store: BlobStore) -> None:
        large = store.put(b"x" * 800, under=INSTANCE, media_type="text/plain").to_json()
        narrow = settings.model_copy(update={"worker": settings.worker.model_copy(update={"largest_message": 1500})})
        assert readable(Question, {"text": large, "scan": large}, narrow)["text"] == "x" * 800
        with pytest.raises(PermanentError, match=r"1500 bytes at once.*BlobReference") as caught:
            readable(Question, {"text": large, "otherName": large}, narrow)
        assert caught.value.code == "BLOB_TOO_LARGE"

    def test_that_is_too_much_stays_a_reference_to_who_takes_whatever_there_is(
        self, settings: Settings, store: BlobStore
    ) -> None:
        large, small = (
            store.put(b"x" * size, under=INSTANCE, media_type="text/plain").to_json() for size in (2000, 10)
        )
        narrow = settings.model_copy(update={"worker": settings.worker.model_copy(update={"largest_message": 1500})})
        assert readable(Everything, {"large": large, "small": small}, narrow) == {"large": large, "small": "x" * 10}

    def test_where_the_worker_knows_no_store_is_an_incident_with_the_cure(self, settings: Settings) -> None:
        travels = sent({"text": LONG}, settings)
        with pytest.raises(PermanentError, match="PROCOS_BLOBS_URL") as caught:
            readable(Question, travels, load_settings({}, dotenv=None))
        assert caught.value.code == "BLOBS_UNSET"


class TestSmallValues:
    def test_are_handed_on_as_they_are(self, settings: Settings) -> None:
        variables = {"text": "small", "rows": [1], "object": {"key": "a"}}
        assert readable(Question, variables, settings) is variables

    def test_cost_no_import_of_the_file_systems(self) -> None:
        program = (
            "import sys, tasks.task\n"
            "from procos.settings import load_settings\n"
            "from procos.domain.outcome import Completion\n"
            "from tasks.large_values import kept_apart, readable\n"
            "settings = load_settings({'PROCOS_BLOBS_URL': 'memory://x'}, dotenv=None)\n"
            "kept_apart(Completion(variables={'answer': 'x' * 1000}), under='instance-1', settings=settings)\n"
            "readable(type(settings), {'answer': {'a': 1}}, settings)\n"
            "print('fsspec' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip() == "False"
