"""Where a JSON document is found in an answer, and where there is doubt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procos.domain.variables import DEEPEST, LONGEST_STRING
from tasks.ai.json_answer import LARGEST_ANSWER, Document, Flaw, document_in, parsed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(), VALUES, min_size=1, max_size=4)


def found(text: str, **options: Any) -> Any:
    document = document_in(text, **options)
    assert isinstance(document, Document), document
    return document.value


def flaw(text: str, **options: Any) -> str:
    document = document_in(text, **options)
    assert isinstance(document, Flaw), document
    return document.reason


class TestDocumentIn:
    @pytest.mark.parametrize(
        "text",
        [
            '{"a": 1}',
            ' \n{"a": 1}\n',
            '\ufeff{"a": 1}',
            '```json\n{"a": 1}\n```',
            '```\n{"a": 1}\n```\n',
            'Here is the answer:\n\n```json\n{\n  "a": 1\n}\n```\nI hope this helps {you}!',
            'Sure! {"a": 1}',
            'The answer is {"a": 1}. Anything else?',
            'Braces {like these} mean nothing. {"a": 1}',
            'Twice the same: {"a": 1} and {"a": 1}',
            '<think>maybe {"a": 2}, or {"a": 3}</think>\n{"a": 1}',
            'First some code:\n```python\nprint({"a"})\n```\nthen:\n```json\n{"a": 1}\n```',
        ],
    )
    def test_is_found_where_there_is_one(self, text: str) -> None:
        assert found(text, opening="{") == {"a": 1}

    def test_in_prose_begins_as_asked(self) -> None:
        assert found('As [1] says: {"a": [2]}', opening="{") == {"a": [2]}
        assert found("The lines are [1, 2] of {many}.", opening="[") == [1, 2]

    def test_may_be_a_text_or_a_number_where_it_is_all(self) -> None:
        assert (found('"yes"'), found("4.5"), found("null")) == ("yes", 4.5, None)

    def test_may_have_line_breaks_in_its_texts(self) -> None:
        assert found('{"a": "one\ntwo"}') == {"a": "one\ntwo"}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is empty"),
            (" \n ", "is empty"),
            ("I cannot say.", "is not JSON at line 1, column 1 (Expecting value)"),
            ('{"a": 1} {"a": 2}', "holds more than one JSON document"),
            ('```json\n{"a": 1}\n```\nor\n```json\n{"a": 2}\n```', "holds more than one JSON document"),
            ('{"a": {"b": 1}, oops', "is not JSON at line 1, column 17"),
            ('It is {"list": [{"line": 1}], "summary": "cut', "is not JSON at line 1, column 42"),
            ('{"a": 1, "a": 2}', "has the member 'a' twice in one object"),
            ('So: {"a": 1, "a": 2}', "has the member 'a' twice in one object"),
            ('{"a": NaN}', "holds NaN or an infinity, which are not JSON"),
            ('{"a": -Infinity}', "holds NaN or an infinity, which are not JSON"),
            ('{"a": 1e999}', "holds a number that is too large"),
            ('{"a": ' + "9" * 5000 + "}", "holds a number that is too long"),
            ('{"a": ' + "9" * LONGEST_STRING + "}", "holds a number that is too long"),
            ('{"a": {"__type__": 1, "__value__": 2}}', "holds an object of the keys __type__ and __value__ alone"),
            ("[" * 100_000, f"is nested deeper than {DEEPEST} levels"),
            ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"is nested deeper than {DEEPEST} levels"),
            ("{ { " * 100, "holds too many brackets to say where a JSON document begins"),
            ("x" * (LARGEST_ANSWER + 1), f"is longer than {LARGEST_ANSWER} characters"),
        ],
        ids=range(19),
    )
    def test_is_refused_where_there_is_doubt(self, text: str, reason: str) -> None:
        assert flaw(text, opening="{").startswith(reason)

    def test_may_be_as_deep_as_a_variable(self) -> None:
        assert found("[" * DEEPEST + "]" * DEEPEST) == json.loads("[" * DEEPEST + "]" * DEEPEST)

    @given(VALUES)
    def test_is_any_json_value(self, value: Any) -> None:
        assert found(json.dumps(value)) == value

    @given(OBJECTS, st.sampled_from(["", "Here it is: ", "As asked.\n\n"]), st.sampled_from(["", "\nDone.", " "]))
    def test_is_found_between_words(self, value: dict[str, Any], before: str, after: str) -> None:
        assert found(before + json.dumps(value, ensure_ascii=False) + after, opening="{") == value

    @given(OBJECTS)
    def test_is_found_in_a_fence(self, value: dict[str, Any]) -> None:
        assert found(f"Here:\n```json\n{json.dumps(value, indent=2)}\n```\nThat is all.") == value

    @pytest.mark.parametrize("piece", ["```x\n", "```\n", "{", '{"a":', "[1,", '"', "<think>", "\\", "} {"])
    def test_is_not_looked_for_for_long(self, piece: str) -> None:
        assert isinstance(document_in(piece * (50_000 // len(piece)), opening="{"), Flaw)

    @given(st.text(alphabet='{}[]",:0aeE+-.\\n`\n '))
    def test_is_looked_for_in_any_text(self, text: str) -> None:
        assert isinstance(document_in(text), Document | Flaw)


class TestParsed:
    def test_takes_no_other_words(self) -> None:
        assert isinstance(parsed('so: {"a": 1}'), Flaw)
