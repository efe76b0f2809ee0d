"""Topic response_formatting: text and JSON, with and without metadata."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import BusinessError
from procos.settings import BlobSettings
from procos.testing import StepRunner
from tasks.generic.response_formatting import ResponseFormattingInput, response_formatting

METADATA = {
    "model_used": "m",
    "provider": "openai",
    "usage": {"prompt_tokens": 3, "total_tokens": 7},
    "response_time_ms": 12,
}


def formatted(**variables: Any) -> str:
    return response_formatting(ResponseFormattingInput.model_validate(variables)).formatted_response


class TestResponseFormatting:
    def test_leaves_plain_text_as_it_is(self) -> None:
        assert formatted(ai_response="42\n", **METADATA) == "42\n"

    def test_adds_metadata_as_lines(self) -> None:
        assert formatted(ai_response="42", include_metadata=True, **METADATA) == (
            "42\n\nModel: m\nProvider: openai\nTokens: 7\nMilliseconds: 12"
        )

    def test_writes_json_in_any_language(self) -> None:
        text = formatted(ai_response='"å"', format_type="json")
        assert json.loads(text) == {"response": '"å"'}
        assert "å" in text

    def test_adds_metadata_to_json(self) -> None:
        text = formatted(ai_response="42", format_type="json", include_metadata=True, **METADATA)
        assert json.loads(text) == {"response": "42", "metadata": METADATA}

    @pytest.mark.parametrize("format_type", ["text", "json"])
    def test_leaves_out_what_is_not_known(self, format_type: str) -> None:
        text = formatted(ai_response="42", format_type=format_type, include_metadata=True, provider="openai")
        assert "openai" in text
        assert "None" not in text
        assert "null" not in text

    def test_adds_no_lines_where_nothing_is_known(self) -> None:
        assert formatted(ai_response="42", include_metadata=True) == "42"

    def test_shows_a_usage_without_total_as_it_came(self) -> None:
        assert formatted(ai_response="42", include_metadata=True, usage={"words": 2}).endswith("Tokens: {'words': 2}")

    def test_gives_the_same_text_twice(self) -> None:
        assert formatted(ai_response="42", format_type="json") == formatted(ai_response="42", format_type="json")

    @pytest.mark.parametrize(
        "variables",
        [{}, {"ai_response": 42}, {"ai_response": "x", "format_type": "html"}, {"ai_response": "x", "usage": "many"}],
    )
    def test_refuses_what_it_cannot_format(self, variables: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            ResponseFormattingInput.model_validate(variables)


ROWS = [{"name": "bolt", "price": 5}, {"name": 'a "nut", or\ntwo', "stock": [1, 2]}]


class TestCsv:
    def test_has_a_line_for_each_row(self) -> None:
        assert formatted(format_type="csv", data=ROWS) == (
            'name,price,stock\r\nbolt,5,\r\n"a ""nut"", or\ntwo",,"[1,2]"\r\n'
        )

    def test_has_the_columns_that_are_asked_for(self) -> None:
        assert formatted(format_type="csv", data=ROWS[:1], columns=["price", "name"], delimiter="tab") == (
            "price\tname\r\n5\tbolt\r\n"
        )

    def test_may_have_quotes_everywhere_and_no_header(self) -> None:
        assert formatted(format_type="csv", data=ROWS[0], quoting="all", with_header=False, delimiter=";") == (
            '"bolt";"5"\r\n'
        )

    def test_of_no_rows_is_the_header(self) -> None:
        assert formatted(format_type="csv", data=[], columns=["a", "b"]) == "a,b\r\n"

    def test_leaves_numbers_and_words_alone(self) -> None:
        assert formatted(format_type="csv", data=[{"n": -5, "b": True, "x": None, "t": "a-b"}]).endswith(
            "-5,true,,a-b\r\n"
        )

    def test_disarms_formulas_unless_told_otherwise(self) -> None:
        assert formatted(format_type="csv", data=[{"a": "=1+1"}]) == "a\r\n'=1+1\r\n"
        assert formatted(format_type="csv", data=[{"a": "=1+1"}], guard_formulas=False) == "a\r\n=1+1\r\n"

    @pytest.mark.parametrize("data", ["text", 7, ["a"], [{"a": 1}, 2], [[1]]])
    def test_needs_objects(self, data: object) -> None:
        with pytest.raises(BusinessError, match="expected a list of objects for csv"):
            formatted(format_type="csv", data=data)


class TestMarkdown:
    def test_of_objects_is_a_table(self) -> None:
        assert formatted(format_type="markdown", data=ROWS[:1]) == "| name | price |\n| --- | --- |\n| bolt | 5 |"

    def test_of_an_object_is_a_table_of_its_members(self) -> None:
        assert formatted(format_type="markdown", data={"a": -1.5}) == "| Name | Value |\n| --- | --- |\n| a | -1.5 |"

    def test_of_a_list_has_bullets(self) -> None:
        assert formatted(format_type="markdown", data=["a", "*b*"]) == "- a\n- \\*b\\*"

    def test_of_a_text_has_paragraphs(self) -> None:
        assert formatted(format_type="markdown", data="one\n\n# two") == "one\n\n\\# two"

    def test_keeps_an_answer_as_it_is_after_what_is_known_of_it(self) -> None:
        assert formatted(format_type="markdown", ai_response="# 42", include_metadata=True, provider="openai") == (
            "| Name | Value |\n| --- | --- |\n| Provider | openai |\n\n# 42"
        )

    def test_has_columns_only_where_there_are_rows(self) -> None:
        with pytest.raises(BusinessError, match="columns: data is no list of objects"):
            formatted(format_type="markdown", data=["a"], columns=["a"])


class TestData:
    def test_is_json_as_it_is(self) -> None:
        assert json.loads(formatted(format_type="json", data=ROWS)) == ROWS
        assert json.loads(formatted(format_type="json", data=[1], include_metadata=True, provider="x")) == {
            "response": [1],
            "metadata": {"provider": "x"},
        }

    @pytest.mark.parametrize(
        ("data", "text"),
        [("a\nb", "a\nb"), ({"a": 1, "b": [True]}, "a: 1\nb: [true]"), (["x", None, {"a": 1}], 'x\n\n{"a":1}')],
    )
    def test_is_lines_of_text(self, data: object, text: str) -> None:
        assert formatted(data=data) == text

    def test_gives_way_to_an_answer(self) -> None:
        assert formatted(ai_response="42", data=ROWS) == "42"

    @pytest.mark.parametrize("form", ["text", "markdown", "json", "csv"])
    def test_says_what_it_has_become(self, form: str) -> None:
        model = ResponseFormattingInput.model_validate({"format_type": form, "data": ROWS})
        assert response_formatting(model).media_type in {"text/plain", "text/markdown", "application/json", "text/csv"}

    def test_that_becomes_large_is_put_into_the_store_and_read_again(self) -> None:
        runner = StepRunner(blobs=BlobSettings(url="memory://shapes", above=10_000))
        rows = [{"number": n, "text": "x" * 80} for n in range(1000)]
        written = runner.run("response_formatting", data=rows, format_type="csv").variables["formatted_response"]
        assert isinstance(written, dict)
        read = runner.run("response_formatting", ai_response=written).variables["formatted_response"]
        assert isinstance(read, dict)
        digests = {str(each["key"]).rpartition("/")[2] for each in (read, written)}
        assert len(digests) == 1

    @settings(max_examples=50, deadline=None)
    @given(
        data=st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
            max_leaves=8,
        ),
        form=st.sampled_from(["text", "markdown", "json", "csv"]),
    )
    def test_becomes_a_text_or_an_error_of_ours(self, data: object, form: str) -> None:
        with suppress(BusinessError, ValidationError):
            assert isinstance(formatted(data=data, format_type=form), str)
