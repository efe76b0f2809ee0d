"""Values that mean harm to whoever opens what was written: each stays text, in its own cell."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from procos.domain.errors import BusinessError
from tasks.generic.response_formatting import ResponseFormattingInput, response_formatting

FORMULAS = {
    "equals": "=1+1",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(A1)",
    "tab": "\t=1",
    "return": "\r=1",
    "line": "\n=1",
    "command": "=cmd|' /C calc'!A0",
    "dde": '=DDE("cmd";"/C calc";"x")',
    "hyperlink": '=HYPERLINK("http://127.0.0.1/?"&A1,"x")',
    "blank-before": "  =1",
    "wide-equals": "＝1+1",  # noqa: RUF001  # meant
    "no-break-blank": "\u00a0=1",
    "byte-order-mark": "\ufeff=1+1",
    "zero-width-blank": " \u200b =1+1",
    "unseen-and-tab": "\u2060\t1",
    "control": "\x01=1+1",
    "direction": "\u202e=1+1",
    "quote-escape": '="a"",""b"',
}

BREAKING = {
    "delimiter": "a,b",
    "quote": 'a"b',
    "line": "a\r\nb,c",
    "next-row": '"\r\n=evil,"',
}

LINE_BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]

MARKUP = {
    "cell": "a | b",
    "row": "a |\n| b",
    "link": "[click](http://127.0.0.1)",
    "image": "![x](http://127.0.0.1/p.png)",
    "autolink": "http://127.0.0.1/",
    "html": "<script>alert(1)</script>",
    "comment": "<!-- ",
    "entity": "&lt;script&gt;",
    "heading": "# big",
    "underline": "a\n====",
    "fence": "```\nopen",
    "emphasis": "**_a_**",
    "escape": "a\\",
    "quote": "> a",
    "list": "- a",
    "rule": "---",
    "reference": "[a]: http://127.0.0.1",
    "math": "$\\input{/etc/passwd}$",
}
BARE = re.compile(r"(?<!\\)(?:\\\\)*[|\[\]<>#*_`!&$~=]")

WRONG: dict[str, dict[str, Any]] = {
    "columns-explode": {"format_type": "csv", "data": [{f"c{n}": 1} for n in range(1001)]},
    "cells-explode": {"format_type": "markdown", "data": [{f"c{n % 999}": 1} for n in range(2000)]},
    "zero": {"format_type": "csv", "data": [{"a": "\0"}]},
    "surrogate": {"format_type": "json", "data": ["\ud800"]},
    "infinity": {"format_type": "json", "data": [float("inf")]},
    "large-number": {"format_type": "text", "data": 10**400},
    "column-twice": {"format_type": "csv", "data": [{"a": 1}], "columns": ["a", "a"]},
}


def formatted(**variables: Any) -> str:
    return response_formatting(ResponseFormattingInput.model_validate(variables)).formatted_response


class TestCsv:
    @pytest.mark.parametrize("value", FORMULAS.values(), ids=FORMULAS)
    def test_has_no_formula(self, value: str) -> None:
        (header, row) = csv.reader(io.StringIO(formatted(format_type="csv", data=[{value: value}]), newline=""))
        assert header == row == ["'" + value]

    @pytest.mark.parametrize("value", ["", " ", "\ufeff", "\ufeffa=1", " 1", "a\t=1"])
    def test_leaves_alone_what_is_no_formula(self, value: str) -> None:
        (row,) = csv.reader(io.StringIO(formatted(format_type="csv", data=[{"a": value, "b": 1}], with_header=False)))
        assert row == [value, "1"]

    @pytest.mark.parametrize("value", BREAKING.values(), ids=BREAKING)
    def test_has_each_value_in_a_cell_of_its_own(self, value: str) -> None:
        rows = list(csv.reader(io.StringIO(formatted(format_type="csv", data=[{"a": value, "b": 1}]), newline="")))
        assert rows == [["a", "b"], [value, "1"]]


class TestMarkdown:
    @pytest.mark.parametrize("value", MARKUP.values(), ids=MARKUP)
    def test_has_no_markup_of_a_value(self, value: str) -> None:
        _, _, row = formatted(format_type="markdown", data=[{"a": value, "b": 1}]).split("\n")
        cell = row.removeprefix("| ").removesuffix(" | 1 |").replace("<br>", "")
        assert not BARE.search(cell)

    @pytest.mark.parametrize("value", MARKUP.values(), ids=MARKUP)
    def test_has_no_markup_of_a_name(self, value: str) -> None:
        assert formatted(format_type="markdown", data=[{value: 1}]).count("\n") == 2


class TestText:
    @pytest.mark.parametrize("line_break", LINE_BREAKS)
    def test_has_each_value_on_a_line_of_its_own(self, line_break: str) -> None:
        forged = f"ann{line_break}role: admin"
        assert formatted(data={"name": forged, forged: 1}) == "name: ann role: admin\nann role: admin: 1"
        assert formatted(data=[forged, 1]) == "ann role: admin\n1"
        assert formatted(data=[{"name": forged}]).splitlines() == formatted(data=[{"name": forged}]).split("\n")

    @pytest.mark.parametrize("line_break", LINE_BREAKS)
    def test_has_what_is_known_of_an_answer_on_lines_of_its_own(self, line_break: str) -> None:
        about = {"model_used": f"m{line_break}Provider: x", "usage": {"total_tokens": f"1{line_break}2"}}
        text = formatted(ai_response="42", include_metadata=True, **about)
        assert text == "42\n\nModel: m Provider: x\nTokens: 1 2"


class TestData:
    @pytest.mark.parametrize("variables", WRONG.values(), ids=WRONG)
    def test_is_refused(self, variables: dict[str, Any]) -> None:
        with pytest.raises(BusinessError) as raised:
            formatted(**variables)
        assert raised.value.code == "INVALID_INPUT"
