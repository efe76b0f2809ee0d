"""Python values to engine variables and back: the table, its edges, and what is refused with the variable's name."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procos.domain.errors import VariableError
from procos.domain.variables import (
    TypedValue,
    as_typed,
    check,
    check_size,
    from_engine,
    is_carried,
    parse_date,
    to_engine,
)

EMOJI = "\N{GRINNING FACE}"
"""Two UTF-16 units in Java, one character in Python."""
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def sent(value: object, *, json_type: bool = True) -> tuple[str, object]:
    typed = to_engine("answer", value, json_type=json_type)
    return typed.type, typed.value


class TestToEngine:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, ("Null", None)),
            (True, ("Boolean", True)),
            (0, ("Integer", 0)),
            (2**31 - 1, ("Integer", 2**31 - 1)),
            (-(2**31), ("Integer", -(2**31))),
            (2**31, ("Long", 2**31)),
            (-(2**31) - 1, ("Long", -(2**31) - 1)),
            (2**63 - 1, ("Long", 2**63 - 1)),
            (-(2**63), ("Long", -(2**63))),
            (2**63, ("String", "9223372036854775808")),
            (-(2**63) - 1, ("String", "-9223372036854775809")),
            (1.5, ("Double", 1.5)),
            ("", ("String", "")),
            ("naïve", ("String", "naïve")),
            (MIDNIGHT, ("Date", "2026-11-23T00:00:00.000+0000")),
            (date(2026, 11, 23), ("String", "2026-11-23")),
            (Decimal("0.10"), ("String", "0.10")),
            (UUID(int=1), ("String", "00000000-0000-0000-0000-000000000001")),
            ({"a": [1, None]}, ("Json", '{"a": [1, null]}')),
            ([], ("Json", "[]")),
            ((1, 2), ("Json", "[1, 2]")),
        ],
    )
    def test_gives_each_python_value_its_engine_type(self, value: object, expected: tuple[str, object]) -> None:
        assert sent(value) == expected

    @pytest.mark.parametrize("text", ["x" * 4000, EMOJI * 2000])
    def test_stores_4000_java_characters_as_a_string(self, text: str) -> None:
        assert sent(text) == ("String", text)

    @pytest.mark.parametrize("text", ["x" * 4001, EMOJI * 2000 + "x"])
    def test_stores_a_longer_text_as_an_object_that_expressions_can_read(self, text: str) -> None:
        typed = to_engine("answer", text)
        assert typed.type == "Object"
        assert typed.value_info == {
            "objectTypeName": "java.lang.String",
            "serializationDataFormat": "application/json",
        }
        assert json.loads(str(typed.value)) == text

    @pytest.mark.parametrize(
        ("value", "part"),
        [
            (math.nan, "nan"),
            (-math.inf, "-inf"),
            ([math.inf], "inf"),
            ("a\x00b", "NUL"),
            ({"a": {"b": ["\x00"]}}, "NUL"),
            ({"\x00": 1}, "NUL"),
            ("\ud83d", "surrogate"),
            (["\udc00"], "surrogate"),
            ({1: "a"}, "key 1"),
            (datetime(2026, 11, 23), "time zone"),  # noqa: DTZ001  # the point of the case
            ([datetime(2026, 11, 23)], "time zone"),  # noqa: DTZ001  # the same
            (b"bytes", "bytes"),
            ({1, 2}, "set"),
            ([object()], "object"),
            ([{"__type__": "uuid", "__value__": 1}], "__type__"),
        ],
    )
    def test_refuses_what_no_type_can_carry_and_names_the_variable(self, value: object, part: str) -> None:
        with pytest.raises(VariableError, match=rf"'answer'.*{part}"):
            to_engine("answer", value)

    @pytest.mark.parametrize(
        "value",
        [10**4400, [10**4400], 10**4100, Decimal("1" * 4100)],
        ids=["int", "in a list", "int of 4,101 digits", "decimal"],
    )
    def test_refuses_a_number_too_long_to_write(self, value: object) -> None:
        with pytest.raises(VariableError, match=r"'answer'.*number"):
            to_engine("answer", value)

    def test_refuses_a_number_that_is_none(self) -> None:
        with pytest.raises(VariableError, match="'answer'"):
            to_engine("answer", Decimal("NaN"))

    def test_refuses_a_list_that_holds_itself(self) -> None:
        endless: list[object] = []
        endless.append(endless)
        with pytest.raises(VariableError, match="'answer'"):
            to_engine("answer", endless)

    @pytest.mark.parametrize("name", ["", "n" * 256, "a\x00"])
    def test_refuses_a_name_the_engine_cannot_store(self, name: str) -> None:
        with pytest.raises(VariableError):
            to_engine(name, 1)

    @pytest.mark.parametrize(
        "value", [datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))), datetime(1, 1, 1, tzinfo=UTC)]
    )
    def test_writes_or_refuses_the_ends_of_the_calendar(self, value: datetime) -> None:
        try:
            typed = to_engine("answer", value)
        except VariableError:
            return
        assert parse_date("answer", typed.value) == value


class TestToAnEngineWithoutSpin:
    def test_sends_structures_as_json_text(self) -> None:
        assert sent({"a": 1}, json_type=False) == ("String", '{"a": 1}')

    @pytest.mark.parametrize("value", ["x" * 4001, ["x" * 4000]])
    def test_refuses_what_does_not_fit_a_string(self, value: object) -> None:
        with pytest.raises(VariableError, match=r"'answer'.*4000"):
            to_engine("answer", value, json_type=False)


class TestFromEngine:
    @pytest.mark.parametrize(
        ("typed", "expected"),
        [
            (TypedValue(type="Null", value=None), None),
            (TypedValue(type="String", value=None), None),
            (TypedValue(type="Short", value=3), 3),
            (TypedValue(type="Long", value=2**40), 2**40),
            (TypedValue(type="Json", value='{"a": [1]}'), {"a": [1]}),
            (TypedValue(type="Json", value=None), None),
            (TypedValue(type="Xml", value="<a/>"), "<a/>"),
            (TypedValue(type="Date", value="2026-11-23T00:00:00.000+0000"), MIDNIGHT),
            (TypedValue(type="Date", value=None), None),
            (
                TypedValue(type="Object", value='"long"', value_info={"serializationDataFormat": "application/json"}),
                "long",
            ),
            (TypedValue(type="Object", value=None), None),
        ],
    )
    def test_reads_each_type(self, typed: TypedValue, expected: object) -> None:
        assert from_engine("input", typed) == expected

    @pytest.mark.parametrize(
        "typed",
        [
            TypedValue(type="Json", value="{broken"),
            TypedValue(type="Json", value="[" * 100_000),
            TypedValue(type="Json", value='[{"__value__": 1, "__type__": "unknown"}]'),
            TypedValue(type="Date", value="2026-11-23"),
            TypedValue(type="File", value=""),
            TypedValue(type="File", value=None),
            TypedValue(type="Bytes", value="AAAA"),
            TypedValue(type="Object", value="rO0", value_info={"serializationDataFormat": "application/x-java"}),
        ],
        ids=[
            "broken json",
            "deep json",
            "marker of the codec",
            "wrong date",
            "file",
            "fetched file",
            "bytes",
            "java object",
        ],
    )
    def test_refuses_what_it_cannot_read_and_names_the_variable(self, typed: TypedValue) -> None:
        with pytest.raises(VariableError, match="'input'"):
            from_engine("input", typed)

    @pytest.mark.parametrize(
        ("typed", "carried"),
        [
            (TypedValue(type="String", value="a"), True),
            (TypedValue(type="File", value=""), False),
            (TypedValue(type="Bytes", value=""), False),
            (TypedValue(type="Object", value="rO0"), False),
            (TypedValue(type="Object", value="1", value_info={"serializationDataFormat": "application/json"}), True),
        ],
    )
    def test_says_beforehand_which_types_are_carried(self, typed: TypedValue, carried: bool) -> None:  # noqa: FBT001  # a table's column
        assert is_carried(typed) is carried


class TestAsTyped:
    def test_leaves_alone_what_has_a_type(self) -> None:
        content = TypedValue(type="Bytes", value="AAAA")
        assert as_typed("scan", content) is content

    def test_gives_any_other_value_its_type(self) -> None:
        assert as_typed("answer", 1) == to_engine("answer", 1)

    def test_is_not_how_a_task_may_return_one(self) -> None:
        with pytest.raises(VariableError, match="'scan'"):
            to_engine("scan", TypedValue(type="Bytes", value="AAAA"))


class TestCheckSize:
    @pytest.mark.parametrize(("cure", "end"), [("", "are carried$"), ("do this", "are carried; do this$")])
    def test_names_the_largest_and_the_cure(self, cure: str, end: str) -> None:
        variables = {"small": to_engine("small", "x"), "large": to_engine("large", "x" * 100)}
        check_size(variables, largest=101, cure=cure)
        with pytest.raises(VariableError, match=rf"'large': 100 bytes, 101 with the others; at most 100 {end}"):
            check_size(variables, largest=100, cure=cure)

    def test_counts_what_is_escaped_on_its_way(self) -> None:
        """A Cyrillic letter has two bytes at the engine, and six in a message."""
        variables = {"small": to_engine("small", "x"), "letters": to_engine("letters", ["щ" * 2_700_000])}
        with pytest.raises(VariableError, match=r"a message carries at most 15728640; do this$") as told:
            check_size(variables, cure="do this")
        assert "'letters': 16200004 bytes as it travels, 16200007 with the others" in str(told.value)

    @pytest.mark.parametrize("text", ["x" * 8_000_000, "щ" * 2_600_000], ids=["ascii", "cyrillic"])
    def test_leaves_alone_what_fits(self, text: str) -> None:
        check_size({"text": to_engine("text", [text])})

    def test_leaves_alone_what_does_not_travel(self) -> None:
        check({"letters": "щ" * 2_700_000}, travels=False)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
structures = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)


class TestRoundTrip:
    @given(structures)
    def test_a_value_comes_back_as_it_went(self, value: object) -> None:
        assert from_engine("answer", to_engine("answer", value)) == value

    @given(st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001  # hypothesis wants naive bounds
    def test_a_moment_comes_back_to_the_millisecond(self, moment: datetime) -> None:
        back = from_engine("answer", to_engine("answer", moment))
        assert isinstance(back, datetime)
        assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
