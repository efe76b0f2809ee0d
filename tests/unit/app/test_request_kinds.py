"""What users may ask for: which folders count, under which names, and that a name is never a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import ModelError, UnknownRequestError
from procos.request_kinds import LARGEST_SCHEMA, input_of, kind_named, kinds_in, request_kinds, schema_of
from procos.settings import load_settings
from procos.shipped import shipped_processes

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = '{"type": "object"}'


def put(folder: Path, *keys: str, schema: str = SCHEMA) -> Path:
    """Write process folders with a schema."""
    for key in keys:
        (folder / key).mkdir(parents=True)
        (folder / key / "input.schema.json").write_text(schema)
    return folder


class TestKinds:
    def test_are_the_folders_with_a_schema(self, tmp_path: Path) -> None:
        put(tmp_path, "order_process")
        (tmp_path / "internal").mkdir()
        assert {kind.key for kind in kinds_in([tmp_path]).values()} == {"order_process"}

    def test_have_the_key_as_a_name_and_the_key_without_its_suffix(self, tmp_path: Path) -> None:
        kinds = kinds_in([put(tmp_path, "order_process", "invoice", "_process")])
        assert {name: kind.key for name, kind in kinds.items()} == {
            "order": "order_process", "order_process": "order_process", "invoice": "invoice", "_process": "_process",
        }  # fmt: skip

    def test_leave_a_name_to_the_process_whose_key_it_is(self, tmp_path: Path) -> None:
        kinds = kinds_in([put(tmp_path, "order_process", "order")])
        assert {name: kind.key for name, kind in kinds.items()} == {"order": "order", "order_process": "order_process"}

    def test_come_from_the_first_folder_that_has_them(self, tmp_path: Path) -> None:
        mine, theirs = put(tmp_path / "mine", "order"), put(tmp_path / "theirs", "order", "other")
        kinds = kinds_in([mine, tmp_path / "missing", theirs])
        assert kinds["order"].schema_file.parent.parent == mine
        assert kinds["other"].schema_file.parent.parent == theirs

    def test_leave_out_folders_that_are_no_names(self, tmp_path: Path) -> None:
        assert kinds_in([put(tmp_path, ".hidden", "a b", "x" * 101, "7")]) == {}

    @pytest.mark.parametrize("only", ["order", "order_process"])
    def test_are_narrowed_by_any_name(self, tmp_path: Path, only: str) -> None:
        kinds = kinds_in([put(tmp_path, "order_process", "invoice")], only=[only])
        assert sorted(kinds) == ["order", "order_process"]

    def test_are_none_where_the_narrowing_names_none(self, tmp_path: Path) -> None:
        assert kinds_in([put(tmp_path, "order")], only=["ordr"]) == {}


class TestSettings:
    def test_name_the_first_folder_and_what_comes_with_procos_is_there_too(self, tmp_path: Path) -> None:
        put(tmp_path, "order")
        kinds = request_kinds(load_settings({"PROCOS_PROCESS_DIRECTORY": str(tmp_path)}, dotenv=None))
        assert {"order", "ai_query", "ai_query_process"} <= kinds.keys()
        assert kinds["ai_query"].schema_file.parent.parent == shipped_processes()

    def test_narrow_by_a_list(self, tmp_path: Path) -> None:
        put(tmp_path, "order", "invoice")
        names = {"PROCOS_PROCESS_DIRECTORY": str(tmp_path), "PROCOS_REQUEST_KINDS": "order, ai_query"}
        assert sorted(request_kinds(load_settings(names, dotenv=None))) == ["ai_query", "ai_query_process", "order"]

    def test_keep_the_system_s_own_processes_from_being_asked_for(self) -> None:
        kinds = request_kinds(load_settings({}, dotenv=None))
        assert not [name for name in kinds if "procos" in name]


class TestKindNamed:
    def test_is_found_by_each_name(self, tmp_path: Path) -> None:
        kinds = kinds_in([put(tmp_path, "order_process")])
        assert kind_named("order", kinds) is kind_named("order_process", kinds)

    @pytest.mark.parametrize(
        "name",
        ["../order", "order/../order", "/etc", "order\0", "order\n", "..", ".", "", "a" * 101, "orde r", "Order\u0301"],
    )
    def test_is_nothing_that_is_no_name_nor_is_that_quoted(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UnknownRequestError) as raised:
            kind_named(name, kinds_in([put(tmp_path, "order")]))
        assert str(raised.value) == "the kind of a request is missing, or no name; known kinds: order"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("ordr", "no request of kind 'ordr' is known; known kinds: invoice, order; did you mean order?"),
            ("order_proces", "known kinds: invoice, order; did you mean order_process?"),
            ("Order", "did you mean order?"),
            ("shipping", "no request of kind 'shipping' is known; known kinds: invoice, order"),
        ],
    )
    def test_says_what_is_known_and_what_was_meant(self, tmp_path: Path, name: str, said: str) -> None:
        with pytest.raises(UnknownRequestError) as raised:
            kind_named(name, kinds_in([put(tmp_path, "order_process", "invoice")]))
        assert str(raised.value).endswith(said)

    def test_says_that_there_is_none(self) -> None:
        with pytest.raises(UnknownRequestError, match=r"known kinds: none$"):
            kind_named("order", {})

    def test_says_how_many_it_does_not_list(self, tmp_path: Path) -> None:
        kinds = kinds_in([put(tmp_path, *(f"kind_{number:02}" for number in range(25)))])
        with pytest.raises(UnknownRequestError, match=r"kind_19 and 5 more$"):
            kind_named("zzz", kinds)


class TestSchema:
    def test_is_read_from_the_folder(self, tmp_path: Path) -> None:
        assert schema_of(kinds_in([put(tmp_path, "order")])["order"]) == {"type": "object"}

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, " " * (LARGEST_SCHEMA + 1)])
    def test_is_refused_where_it_is_none(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ModelError, match=r"input\.schema\.json"):
            schema_of(kinds_in([put(tmp_path, "order", schema=text)])["order"])

    def test_is_missed_with_a_word_where_it_has_gone(self, tmp_path: Path) -> None:
        kind = kinds_in([put(tmp_path, "order")])["order"]
        kind.schema_file.unlink()
        with pytest.raises(ModelError, match="No such file"):
            schema_of(kind)


class TestInput:
    def test_is_all_but_the_bookkeeping(self) -> None:
        variables = {"amount": 1, "request_kind": "order", "request_id": "7", "process_to_execute": "x", "requested": 2}
        assert input_of(variables, {}) == {"amount": 1, "requested": 2}

    def test_has_what_the_schema_names(self) -> None:
        variables = {"request_kind": "order", "request_id": "7", "amount": 1}
        assert input_of(variables, {"properties": {"request_id": {}}}) == {"request_id": "7", "amount": 1}

    def test_is_not_misled_by_a_schema_of_another_shape(self) -> None:
        assert input_of({"request_id": "7", "amount": 1}, {"properties": ["request_id"]}) == {"amount": 1}
