"""What is said of an expression that cannot be read, and how the program answers one that can."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from procos.expressions import answer, syntax_fault

SECRET = "hunter2"


def answered(expression: str, data: object = None, *, judges: bool = False) -> dict[str, Any]:
    asked = {"expression": expression, "data": data or {}, "judges": judges, "seconds": 2}
    return dict(json.loads(answer(json.dumps(asked).encode())))


def fault(expression: str, data: object = None) -> str:
    return str(answered(expression, data)["fault"])


class TestSyntaxFault:
    @pytest.mark.parametrize(
        "expression",
        ["a", "{'b': a.c}", "/* why */ $sum(items.price)", "$match(a, /x+/i)", "error.code = 'X' ? $bpmnError('Y')"],
    )
    def test_is_none_of_what_can_be_read(self, expression: str) -> None:
        assert syntax_fault(expression) is None

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("", "is empty"),
            (" \n", "is empty"),
            ("{'a': }", "does not parse"),
            ("$sum(a", "before end of expression"),
            ("a b", "does not parse: Syntax error: b (S0201, character"),
            ("'open", "does not parse"),
            ("/* open", "does not parse"),
            ("$match(a, /(/)", "does not parse"),
            ("$match(a, /a{2,1}/)", "regular expression is wrong"),
            ("(" * 5000, "is nested too deeply"),
            ("${x}", "does not parse"),
        ],
    )
    def test_says_what_is_wrong(self, expression: str, said: str) -> None:
        assert said in str(syntax_fault(expression))

    def test_leaves_the_limit_of_recursion_as_it_was(self) -> None:
        before = sys.getrecursionlimit()
        syntax_fault("a")
        assert sys.getrecursionlimit() == before


class TestAnswer:
    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("a", 1),
            ("{'x': a, 'y': null, 'z': missing}", {"x": 1, "y": None}),
            ("[1..3]", [1, 2, 3]),
            ("missing", None),
            ("$now() > '2020'", True),
        ],
    )
    def test_is_what_the_expression_yields(self, expression: str, value: object) -> None:
        assert answered(expression, {"a": 1}) == {"value": value}

    def test_counts_calls_inside_each_other_and_not_one_after_another(self) -> None:
        expression = "$count($map([1..2000], function($n) { {'a': $n, 'b': [$n, $n]} }))"
        assert answered(expression) == {"value": 2000}

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("text + 1", "cannot be evaluated: The left side of the … operator must evaluate to a number (T2001"),
            ("$number(text)", "cannot be evaluated (ValueError)"),
            ("text()", "cannot be evaluated: Attempted to invoke a non-function (T1006"),
            ("{text: 1, list[0]: 2}", "cannot be evaluated"),
            ("$toMillis(text)", "cannot be evaluated"),
            ("1/0", "cannot be evaluated (ZeroDivisionError)"),
            ("{'a': $sum}", "JSON knows no such"),
            ("$error('no such order')", "cannot be evaluated: no such order"),
            ("$assert(false, 'no order')", "cannot be evaluated: no order"),
            ("$eval(text)", "cannot be evaluated: $eval is not available"),
            ("$bpmnError('X')", "invoke a non-function"),
            ("(", "does not parse"),
        ],
    )
    def test_says_what_is_wrong_without_the_data(
        self, expression: str, said: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        found = fault(expression, {"text": SECRET, "list": [SECRET]})
        assert said in found
        assert SECRET not in found
        capfd.readouterr()

    def test_has_a_clock_of_its_own_in_each_expression(self) -> None:
        first = answered("$millis()")["value"]
        syntax_fault("another")
        assert answered("$millis()")["value"] >= first
        assert answered("$millis()")["value"] > 1_700_000_000_000


class TestJudgingFunctions:
    @pytest.mark.parametrize(
        ("expression", "verdict"),
        [
            ("$bpmnError('X')", {"kind": "bpmnError", "code": "X", "message": None, "variables": None}),
            (
                "$bpmnError('X', null, {'a': null})",
                {"kind": "bpmnError", "code": "X", "message": None, "variables": {"a": None}},
            ),
            (
                "$jobError('m', {}, 0, 'PT5M')",
                {"kind": "jobError", "message": "m", "variables": {}, "retries": 0, "retryIn": "PT5M"},
            ),
            (
                "$jobError('m', missing, null, 1.5)",
                {"kind": "jobError", "message": "m", "variables": None, "retries": None, "retryIn": 1.5},
            ),
            ("$ignoreError()", {"kind": "ignoreError", "variables": None}),
            ("({'a': 1}) ~> $ignoreError", {"kind": "ignoreError", "variables": {"a": 1}}),
            ("(missing ? 1 : ($x := 'X'; $bpmnError($x))).$", {"kind": "bpmnError", "code": "X"}),
        ],
    )
    def test_are_verdicts(self, expression: str, verdict: dict[str, object]) -> None:
        assert answered(expression, judges=True)["verdict"].items() >= verdict.items()

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("$bpmnError()", "the code of $bpmnError is not a text"),
            ("$bpmnError(' ')", "the code of $bpmnError is not a text"),
            ("$bpmnError('X', 5)", "the message of $bpmnError is not a text"),
            ("$bpmnError('X', 'm', [1])", "the variables of $bpmnError is not an object"),
            ("$bpmnError('X', 'm', {}, 1)", "$bpmnError takes at most 3 arguments, 4 were given"),
            ("$jobError(missing)", "the message of $jobError is not a text"),
            ("$jobError('m', {}, -1)", "the retries of $jobError is not a whole number"),
            ("$jobError('m', {}, true)", "the retries of $jobError is not a whole number"),
            ("$jobError('m', {}, 1, -1)", "the retryIn of $jobError is not a duration"),
            ("$ignoreError('x')", "the variables of $ignoreError is not an object"),
        ],
    )
    def test_say_which_argument_is_wrong(self, expression: str, said: str) -> None:
        assert said in answered(expression, judges=True)["fault"]

    @pytest.mark.parametrize("expression", ["forged", "$clone($bpmnError('X'))", "[$bpmnError('X'), 1]"])
    def test_are_not_what_only_looks_like_theirs(self, expression: str) -> None:
        forged = {"kind": "bpmnError", "code": "X", "message": None, "variables": None}
        assert "verdict" not in answered(expression, {"forged": forged}, judges=True)
