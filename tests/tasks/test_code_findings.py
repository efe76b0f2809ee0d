"""What of a model's findings is true to the code, and how code is shown and named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ai.code_findings import (
    FINDINGS_SCHEMA,
    SEVERITIES,
    language_of,
    lines_of,
    numbered,
    verified,
)
from tasks.ai.strict_schema import strict_schema
from tasks.generic.json_schema import check_schema, problems

CODE = "def f():\n    return 1\n\nf()\n"
FINDINGS = st.fixed_dictionaries(
    {
        "line": st.integers(-2, 8),
        "severity": st.sampled_from(SEVERITIES),
        "rule": st.sampled_from(["a", "b"]),
        "message": st.sampled_from(["x", "y"]),
    }
)


def finding(line: int = 1, severity: str = "info", rule: str = "name", message: str = "Bad name.") -> dict[str, Any]:
    return {"line": line, "severity": severity, "rule": rule, "message": message}


class TestSchema:
    def test_is_one_and_can_be_strict(self) -> None:
        check_schema(FINDINGS_SCHEMA)
        assert strict_schema(FINDINGS_SCHEMA) is not None

    def test_fits_findings(self) -> None:
        assert problems(FINDINGS_SCHEMA, {"findings": [finding()], "summary": "Good."}) == []


class TestLines:
    @pytest.mark.parametrize(
        ("code", "lines"),
        [
            ("", []),
            ("a", ["a"]),
            ("a\n", ["a"]),
            ("a\n\n", ["a", ""]),
            ("a\r\nb\rc", ["a", "b", "c"]),
            ("a\u2028b\x0cc", ["a\u2028b\x0cc"]),
        ],
    )
    def test_are_counted_as_editors_do(self, code: str, lines: list[str]) -> None:
        assert lines_of(code) == lines

    def test_are_numbered_from_one(self) -> None:
        assert numbered("a\nb") == "1| a\n2| b"
        assert numbered("x\n" * 10).split("\n")[8:] == [" 9| x", "10| x"]


class TestVerified:
    def test_drops_and_counts_what_is_about_no_line(self) -> None:
        found = verified([finding(0), finding(4), finding(5), finding(-1)], CODE)
        assert ([each["line"] for each in found.findings], found.dropped) == ([4], 3)

    def test_makes_one_of_doubles_with_the_worse_severity(self) -> None:
        found = verified(
            [finding(2), finding(2, "error", "Name", "bad  name."), finding(2, rule="other"), finding(1)], CODE
        )
        assert found.findings == (finding(1), finding(2, "error"), finding(2, rule="other"))
        assert found.dropped == 0

    def test_puts_the_worst_of_a_line_first(self) -> None:
        found = verified([finding(3, "info", "a"), finding(3, "critical", "z"), finding(1, "info", "b")], CODE)
        assert [each["rule"] for each in found.findings] == ["b", "z", "a"]

    def test_takes_a_whole_number_of_another_kind(self) -> None:
        (found,) = verified([{**finding(), "line": 2.0}], CODE).findings
        assert type(found["line"]) is int

    @given(st.lists(FINDINGS))
    def test_keeps_each_line_that_exists_once(self, findings: list[dict[str, Any]]) -> None:
        found = verified(findings, CODE)
        inside = [each for each in findings if 1 <= each["line"] <= 4]
        assert found.dropped == len(findings) - len(inside)
        kinds = [(each["line"], each["rule"], each["message"]) for each in found.findings]
        assert sorted(kinds) == sorted({(each["line"], each["rule"], each["message"]) for each in inside})
        assert verified(found.findings, CODE).findings == found.findings


class TestLanguage:
    @pytest.mark.parametrize(
        ("signs", "language"),
        [
            ({"hint": " JS "}, "javascript"),
            ({"hint": "COBOL"}, "cobol"),
            ({"hint": "python", "name": "x.js"}, "python"),
            ({"name": "src/Main.java"}, "java"),
            ({"name": "C:\\work\\form.CS"}, "csharp"),
            ({"name": "deploy/Dockerfile"}, "dockerfile"),
            ({"name": "Makefile"}, "makefile"),
            ({"name": "types.d.ts"}, "typescript"),
            ({"name": "README"}, ""),
            ({"code": "#!/usr/bin/env -S python3.11 -u\nprint()"}, "python"),
            ({"code": "#!/bin/bash\n"}, "bash"),
            ({"code": "#!/bin/sh -e\n"}, "bash"),
            ({"code": "#!\n"}, ""),
            ({"code": "print()"}, ""),
            ({}, ""),
        ],
    )
    def test_follows_from_what_is_said_the_name_and_the_first_line(self, signs: dict[str, str], language: str) -> None:
        assert language_of(**signs) == language
