"""References: what one is made of, and what is never taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from procos.blobs import BlobReference, is_reference, reference_in
from procos.blobs.reference import OCTETS, folder_of, reference_to, safe_media_type, safe_name
from procos.domain.errors import PermanentError, VariableError
from procos.domain.variables import from_engine, to_engine

HASH = "ab" * 32
GOOD: dict[str, Any] = {"procos_blob": 1, "key": f"instance-1/{HASH}", "sha256": HASH, "size": 3}


def reference(**changes: Any) -> BlobReference:
    return BlobReference.model_validate({**GOOD, **changes})


class TestReference:
    def test_is_a_small_object_that_comes_back_from_a_variable(self) -> None:
        sent = reference(media_type="application/pdf", name="scan.pdf")
        back = from_engine("scan", to_engine("scan", sent.to_json()))
        assert is_reference(back)
        assert reference_in("scan", back) == sent

    def test_knows_whose_it_is(self) -> None:
        made = reference_to("root:1:x", {"sha256": HASH, "size": 0})
        assert made.key == f"root~1~x/{HASH}"
        assert made.process_instance_id == "root:1:x"

    @pytest.mark.parametrize(
        "key",
        [
            HASH,
            f"/instance-1/{HASH}",
            f"../{HASH}",
            f"instance-1/../{HASH}",
            f"a/b/{HASH}",
            f"s3://bucket/{HASH}",
            f"file:///etc/{HASH}",
            f"a::b/{HASH}",
            f"in stance/{HASH}",
            f"instance-1\n/{HASH}",
            f"instance-1/{HASH}\n",
            f"instance-1/{HASH.upper()}",
            "instance-1/passwd",
            f"{'i' * 256}/{HASH}",
        ],
    )
    def test_has_no_key_that_we_did_not_make(self, key: str) -> None:
        with pytest.raises(ValidationError):
            reference(key=key)

    @pytest.mark.parametrize(
        "changes",
        [
            {"procos_blob": 2},
            {"sha256": "cd" * 32},
            {"size": -1},
            {"media_type": "text/plain\r\nX: y"},
            {"media_type": "anything"},
            {"name": "../x"},
            {"name": "a\x00b"},
            {"name": ""},
            {"becomes": "Object"},
        ],
        ids=repr,
    )
    def test_is_refused_for_what_is_wrong_in_it(self, changes: dict[str, object]) -> None:
        with pytest.raises(VariableError, match="'scan': is no reference to a blob"):
            reference_in("scan", {**GOOD, **changes})

    def test_names_what_is_wrong_without_its_value(self) -> None:
        with pytest.raises(VariableError) as caught:
            reference_in("scan", {**GOOD, "key": "../hunter2"})
        assert caught.value.reason == "is no reference to a blob: key"
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("value", [None, "procos_blob", ["procos_blob"], {"key": "a"}, 1])
    def test_is_not_seen_in_other_values(self, value: object) -> None:
        assert not is_reference(value)

    def test_is_told_from_other_objects_by_its_marker(self) -> None:
        class Either(BaseModel):
            value: BlobReference | dict[str, object]

        unmarked = {name: value for name, value in GOOD.items() if name != "procos_blob"}
        assert Either(value=unmarked).value == unmarked
        assert Either.model_validate({"value": GOOD}).value == reference()

    def test_of_a_later_version_with_more_in_it_is_read(self) -> None:
        assert reference(colour="red") == reference()

    def test_may_become_a_file_or_bytes(self) -> None:
        assert reference().as_file("C:\\scans\\one.pdf").to_json() == {
            **GOOD, "media_type": OCTETS, "becomes": "File", "name": "one.pdf",
        }  # fmt: skip
        assert reference(name="a").as_file().name == "a"
        assert reference().as_bytes().becomes == "Bytes"

    @pytest.mark.parametrize(
        ("media_type", "is_text", "is_json", "charset"),
        [
            ("text/csv; charset=latin-1", True, False, "latin-1"),
            ('text/plain;charset="utf-8"', True, False, "utf-8"),
            ("application/json", False, True, None),
            ("application/problem+json", False, True, None),
            ("application/pdf", False, False, None),
        ],
    )
    def test_says_what_kind_of_content_it_leads_to(
        self,
        media_type: str,
        is_text: bool,  # noqa: FBT001  # a table's column
        is_json: bool,  # noqa: FBT001  # the same
        charset: str | None,
    ) -> None:
        about = reference(media_type=media_type)
        assert (about.is_text, about.is_json, about.charset) == (is_text, is_json, charset)


class TestFolder:
    @pytest.mark.parametrize("instance_id", ["", ".", "..", "../x", "a/b", "a b", "-a", "a\n", "é", "x" * 256])
    def test_is_made_of_ids_alone(self, instance_id: str) -> None:
        with pytest.raises(PermanentError) as caught:
            folder_of(instance_id)
        assert caught.value.code == "BLOB_KEY"


class TestGivenName:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("scan.pdf", "scan.pdf"),
            ("/etc/passwd", "passwd"),
            ("C:\\temp\\Größe 1.txt", "Größe 1.txt"),
            ("a\r\nb\x00", "ab"),
            ("half \ud83d", "half ?"),
            ("folder/", None),
            ("", None),
            (None, None),
            ("x" * 300, "x" * 255),
        ],
    )
    def test_keeps_its_last_part(self, given: str | None, kept: str | None) -> None:
        assert safe_name(given) == kept


class TestGivenMediaType:
    @pytest.mark.parametrize(
        ("given", "charset", "kept"),
        [
            ("application/pdf", None, "application/pdf"),
            ("text/plain", "UTF-8", "text/plain; charset=UTF-8"),
            ("text/plain; charset=latin-1", "UTF-8", "text/plain; charset=latin-1"),
            ("text/plain", "no charset", "text/plain"),
            ("", "UTF-8", OCTETS),
            (None, None, OCTETS),
            ("whatever it is", None, OCTETS),
            ("a/b\r\nX-Header: c", None, OCTETS),
        ],
    )
    def test_is_kept_where_it_is_one(self, given: str | None, charset: str | None, kept: str) -> None:
        assert safe_media_type(given, charset) == kept
