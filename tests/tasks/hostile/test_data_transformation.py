"""Expressions, templates and data that mean harm: each ends soon, as a value or an error of ours, and leaks nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.generic.data_transformation import DataTransformationInput, data_transformation
from tasks.mapping import expressions
from tasks.mapping.expressions import Evaluators
from tests.shapes import context_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = context_of("data_transformation")
MANY = list(range(1000))

TEMPLATES = {
    "class": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "call is not allowed"),
    "attr-filter": ("{{ ''|attr('__class__') }}", "no filter 'attr'"),
    "item-class": ("{{ data['__class__'] }}", "cannot be filled"),
    "format-string": ("{{ '{0.__class__}'.format(1) }}", "call is not allowed"),
    "percent-format": ("{{ '%999999999d' % 1 }}", "computes with what is no number"),
    "cycler": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "call is not allowed"),
    "lipsum": ("{{ lipsum.__globals__['os'] }}", "is undefined"),
    "self": ("{{ self._TemplateReference__context }}", ""),
    "config": ("{{ config }}", "is undefined"),
    "range": ("{% for i in range(10**9) %}x{% endfor %}", "not allowed"),
    "nested-loops": ("{% for a in data %}{% for b in data %}{% for c in data %}{% endfor %}{% endfor %}{% endfor %}",
                     "goes round more than 100000 times"),
    "loop-text": ("{% for a in data %}{% for b in data %}{{ data }}{% endfor %}{% endfor %}", "becomes longer than"),
    "json-of-json": ("{{ '\"'" + "|tojson" * 20 + "|length }}", "becomes longer than 1000000 characters"),
    "times-text": ("{{ 'x' * 1000000000 }}", "computes with what is no number"),
    "times-list": ("{{ data * 1000000000 }}", "computes with what is no number"),
    "power": ("{{ 9 ** 999999 }}", "** is not allowed"),
    "big-number": ("{{ 9007199254740991 * 9007199254740991 }}", "a number that is too large"),
    "macro": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "not allowed"),
    "include": ("{% include '/etc/passwd' %}", "include is not allowed"),
    "import": ("{% import 'os' as os %}", "import is not allowed"),
    "extends": ("{% extends 'base' %}", "extends is not allowed"),
    "set": ("{% set x = data %}{{ x }}", "set is not allowed"),
    "recursive-loop": ("{% for a in data recursive %}{{ loop(data) }}{% endfor %}", "not allowed"),
    "concat": ("{{ data ~ data }}", "~ is not allowed"),
    "slice": ("{{ data[0:10] }}", "slice is not allowed"),
    "block": ("{% block user %}x{% endblock %}", "block is not allowed"),
    "meter": ("{{ data['the meter'] }}", "cannot be filled"),
    "deep-brackets": ("{{ " + "(" * 4000 + ")" * 4000 + " }}", "template: "),
    "deep-not": ("{{ " + "not " * 2400 + "1 }}", "nested too deeply"),
    "deep-ifs": ("{% if 1 %}" * 600, "template: "),
    "long-sum": ("{{ 1" + "+1" * 4900 + " }}", "nested too deeply"),
    "unclosed": ("{{", "template: line 1"),
    "division": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "join-growth": ("{{ data|join('x' * 9)|join('y') }}", "computes with what is no number"),
}  # fmt: skip

EXPRESSIONS = {
    "tail-recursion": "($f := function(){ $f() }; $f())",
    "recursion": "($f := function($n){ 1 + $f($n) }; $f(1))",
    "mutual-recursion": "($f := function($n){ $g($n) + 1 }; $g := function($n){ $f($n) + 1 }; $f(1))",
    "y-combinator": "($y := function($f){ $f($f) }; $y($y))",
    "doubling": "($f := function($s, $n){ $n = 0 ? $s : $f($s & $s, $n - 1) }; $length($f('x', 99)))",
    "padding": "$pad('', 2000000000)",
    "range": "[1..1000000000]",
    "range-product": "[1..9999999].{'a': [$, $]}",
    "string-of-huge": "$string([1..9999999])",
    "regex-bomb": "$contains('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!', /^(a+)+$/)",
    "replace-bomb": "$replace('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!', /(a|aa)+$/, 'b')",
    "eval": "$eval('1 + 1')",
    "function-result": "function($x){ $x }",
    "regex-result": "/a/",
    "infinity": "1 / 0",
    "power": "$power(10, 400)",
    "surrogate": '"\\ud800"',
    "deep-brackets": "(" * 4000 + "1" + ")" * 4000,
    "deep-lists": "[" * 4000 + "]" * 4000,
    "deep-result": "($f := function($a, $n){ $n = 0 ? $a : $f({'a': $a}, $n - 1) }; $f(1, 110))",
    "too-long": "1" * 10_001,
    "empty": "   ",
    "wrong-regex": "$match('a', /(/)",
    "missing-function": "$system('id')",
}

HARMLESS = {
    "proto": ("$lookup($, '__proto__')", 1),
    "constructor": ("constructor", 2),
    "dunder-class": ("$lookup($, '__class__')", 3),
    "evaluate-entry": ("$lookup($, '__evaluate_entry')", 4),
}
ODD = {"__proto__": 1, "constructor": 2, "__class__": 3, "__evaluate_entry": 4}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


DATA: dict[str, dict[str, Any]] = {
    "depth-text": {"data": "[" * 100_000 + "]" * 100_000, "data_format": "json"},
    "depth-value": {"data": deep(200)},
    "long-number": {"data": "1" * 1_000_000, "data_format": "json"},
    "large-number": {"data": 10**400},
    "1e400": {"data": "[1e400]", "data_format": "json"},
    "infinity": {"data": [float("inf")]},
    "nan": {"data": "[NaN]", "data_format": "json"},
    "twice": {"data": '{"a": 1, "a": 2}', "data_format": "json"},
    "surrogate": {"data": '["\\ud800"]', "data_format": "json"},
    "zero": {"data": "a\0b"},
    "no-json": {"data": "<xml/>", "data_format": "json"},
    "no-text": {"data": 7, "data_format": "json"},
    "10-megabytes": {"data": "x" * 10_000_000},
    "10-megabytes-of-names": {"data": [{f"{n:0999}": 1} for n in range(10_000)]},
    "long-name": {"data": {"x" * 100_000: 1}},
}


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> Iterator[None]:
    """Let evaluations have a fraction of the time that they have in a worker."""
    impatient = Evaluators(limit=timedelta(seconds=0.1), grace=timedelta(seconds=0.2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expressions, "_SHARED", impatient)
        yield
    impatient.close()


def code_of(error: BaseException) -> str:
    return str(getattr(error, "code", ""))


def transformed(**variables: Any) -> Any:
    return data_transformation(DataTransformationInput.model_validate(variables), CONTEXT).result


class TestHostileTemplate:
    @pytest.mark.parametrize(("template", "said"), TEMPLATES.values(), ids=TEMPLATES)
    def test_is_refused(self, template: str, said: str) -> None:
        with pytest.raises((PermanentError, BusinessError)) as raised:
            transformed(language="jinja", template=template, data=MANY)
        assert code_of(raised.value) in {"EXPRESSION_INVALID", "EXPRESSION_FAILED"}
        assert said in str(raised.value)

    def test_in_data_is_text(self) -> None:
        assert transformed(language="jinja", template="{{ data }}", data="{{ 1 + 1 }}") == "{{ 1 + 1 }}"

    def test_that_is_too_long_is_not_read(self) -> None:
        with pytest.raises(ValidationError):
            transformed(language="jinja", template="x" * 10_001)


class TestHostileExpression:
    @pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
    def test_ends_as_an_error_with_words(self, expression: str) -> None:
        with pytest.raises((BusinessError, PermanentError, TransientError)) as raised:
            transformed(expression=expression, data={"a": 1})
        assert code_of(raised.value).startswith("EXPRESSION_")
        assert len(str(raised.value)) > len("expression ")

    @pytest.mark.parametrize(("expression", "result"), HARMLESS.values(), ids=HARMLESS)
    def test_finds_odd_names_like_others(self, expression: str, result: int) -> None:
        assert transformed(expression=expression, data=ODD) == result

    def test_in_data_is_text(self) -> None:
        assert transformed(expression="$", data="$eval('1')") == "$eval('1')"


class TestHostileData:
    @pytest.mark.parametrize("variables", DATA.values(), ids=DATA)
    def test_is_refused_by_name(self, variables: dict[str, Any]) -> None:
        with pytest.raises(BusinessError) as raised:
            transformed(expression="$count($)", **variables)
        assert raised.value.code == "INVALID_INPUT"
        assert raised.value.message.startswith("data")
        assert len(raised.value.message) < 500

    def test_with_a_byte_order_mark_is_read(self) -> None:
        assert transformed(expression="a", data="\ufeff" + json.dumps({"a": 1}), data_format="json") == 1
