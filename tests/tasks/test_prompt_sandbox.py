"""What a prompt template may say, and the limits within which it writes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.ai.prompts.sandbox import written
from tasks.ai.prompts.template import Template, read_template
from tasks.templates.filters import LONGEST_TEXT
from tasks.templates.sandbox import MOST_ROUNDS, Meter

VARIABLES = {"text": "any", "items": "any", "person": "any"}
VALUES: dict[str, Any] = {"text": "hello", "items": ["a", "b"], "person": {"name": "Ann", "age": 7}}


def template(body: str) -> Template:
    lines = [f'[variables.{name}]\ndescription = ""\ntype = "{kind}"' for name, kind in VARIABLES.items()]
    head = "\n".join(['+++\ndescription = ""', *lines, "+++\n"])
    return read_template("note", (head + body).encode())


def user(said: str) -> Template:
    return template(f"{{% block user %}}{said}{{% endblock %}}")


def write(said: str, *, clock: Any = lambda: 0.0, **values: Any) -> str:
    return written(user(said), VALUES | values, Meter(deadline=10.0, clock=clock))["user"]


def misfit(said: str, **values: Any) -> str:
    with pytest.raises(BusinessError) as raised:
        write(said, **values)
    assert raised.value.code == "INVALID_INPUT"
    before, _, reason = raised.value.message.partition(": ")
    assert before == "prompt template 'note' cannot be filled with these variables"
    return reason


def refusal(body: str) -> str:
    with pytest.raises(PermanentError) as raised:
        written(template(body), VALUES, Meter(deadline=10.0, clock=lambda: 0.0))
    assert raised.value.code == "TEMPLATE"
    return str(raised.value).removeprefix("prompt template 'note': ")


class TestWritten:
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ("{{ text }}, {{ person.name }} ({{ person['age'] + 1 }}), {{ items[1] }}", "hello, Ann (8), b"),
            ("{% for item in items %}{{ loop.index }}/{{ loop.length }}:{{ item }} {% endfor %}", "1/2:a 2/2:b"),
            ("{% for name in person %}{{ name }}={{ person[name] }} {% endfor %}", "name=Ann age=7"),
            ("{% for item in items if item != 'a' %}{{ item }}{% else %}none{% endfor %}", "b"),
            ("{% if text and not person.title is defined %}yes{% elif items %}no{% endif %}", "yes"),
            ("{{ 'b' if 'b' in items else 'c' }}{% if text in ['hello', 'bye'] %}!{% endif %}", "b!"),
            (
                "{{ items }} {{ person | tojson }} {{ none }} {{ true }} {{ 1.5 }}",
                '["a", "b"] {"name": "Ann", "age": 7}  true 1.5',
            ),
            ("{{ items | join(', ') }} {{ items | length }} {{ items | first }}{{ items | last }}", "a, b 2 ab"),
            ("{{ text | upper | lower | trim | truncate(3) }} {{ none | default('x') }}", "he… x"),
            ("{{ person.title | default('none') }}", "none"),
            ("<b>&'\"</b> {# not shown #}", "<b>&'\"</b>"),
        ],
    )
    def test_fills_in_values(self, said: str, expected: str) -> None:
        assert write(said) == expected

    def test_gives_each_block_its_text(self) -> None:
        body = "{% block system %}\n\nBe {{ text }}.\n{% endblock %}\n\n{% block user %}Hi{% endblock %}\n"
        assert written(template(body), VALUES, Meter(deadline=1.0, clock=lambda: 0.0)) == {
            "system": "Be hello.",
            "user": "Hi",
        }

    @given(st.text() | st.sampled_from(["{{ person.name }}", "{% include 'x' %}", "{# x #}", "{{ 7 * 7 }}"]))
    def test_takes_a_template_in_a_value_for_text(self, value: str) -> None:
        assert write("[{{ text }}]", text=value) == f"[{value}]"


class TestRefused:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("{{ range(10) }}", "call is not allowed"),
            ("{{ text.upper() }}", "call is not allowed"),
            ("{{ text.format(1) }}", "call is not allowed"),
            ("{% set x = 1 %}", "set is not allowed"),
            ("{% set x %}y{% endset %}", "set is not allowed"),
            ("{% include 'other.md.j2' %}", "include is not allowed"),
            ("{% import 'other.md.j2' as other %}", "import is not allowed"),
            ("{% from 'other.md.j2' import x %}", "fromimport is not allowed"),
            ("{% macro x() %}{% endmacro %}", "macro is not allowed"),
            ("{% filter upper %}x{% endfilter %}", "filterblock is not allowed"),
            ("{% with x = 1 %}{% endwith %}", "with is not allowed"),
            ("{{ text ~ text }}", "~ is not allowed"),
            ("{{ 2 ** 99 }}", "** is not allowed"),
            ("{{ text[1:] }}", "slice is not allowed"),
            ("{{ {'a': 1} }}", "dict is not allowed"),
            ("{{ [text, text] | tojson }}", "a list may hold texts and numbers alone"),
            ("{% for x in items recursive %}{% endfor %}", "a recursive loop is not allowed"),
            ("{{ text | replace('a', 'b') }}", "there is no filter 'replace'; there are default, first, join"),
            ("{% if x is foo %}{% endif %}", "there is no test 'foo'; there are defined"),
            ("{% if text %}{{ text | foo }}{% endif %}", "there is no filter 'foo'"),
            ("{% block inner %}{% endblock %}", "a block stands inside another"),
            ("{{ text", "expected token"),
            ("{% for %}", "xpected"),
        ],
    )
    def test_is_what_could_grow_or_reach_out(self, said: str, reason: str) -> None:
        body = f"{{% block user %}}\n\n{said}{{% endblock %}}"
        message = refusal(body)
        assert reason in message
        assert message.startswith("line ")

    def test_is_a_line_by_its_number_in_the_file(self) -> None:
        assert refusal("{% block user %}\n{{ text ~ text }}\n{% endblock %}") == "line 14: ~ is not allowed"
        assert refusal("\n\nDear model,\n{% block user %}{% endblock %}") == (
            "line 15: expected nothing but the blocks system and user"
        )

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("{% extends 'other.md.j2' %}", "expected nothing but the blocks system and user"),
            ("{% set x = 1 %}{% block user %}{% endblock %}", "expected nothing but the blocks"),
            ("{% block footer %}{% endblock %}", "expected nothing but the blocks"),
            ("{{ text }}", "expected nothing but the blocks"),
            ("\n", "has none of the blocks system and user"),
            (
                "{% block user %}{{ title }} {{ texts }}{% endblock %}",
                "uses texts, title, which its head does not name",
            ),
            ("{% block user %}{{ loop.index }}{% endblock %}", "uses loop, which its head does not name"),
            (
                "{% block user %}" + "{% for x in items %}" * 30 + "{% endfor %}" * 30 + "{% endblock %}",
                "nested too deeply",
            ),
            ("{% block user %}{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}{% endblock %}", "nested too deeply"),
        ],
        ids=range(9),
    )
    def test_is_what_is_no_prompt(self, body: str, reason: str) -> None:
        assert reason in refusal(body)


class TestLimits:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("{{ text * 1000000000 }}", "it computes with what is no number"),
            ("{{ 'a' * 1000000000 }}", "it computes with what is no number"),
            ("{{ items * 1000000000 }}", "it computes with what is no number"),
            ("{{ '%1000000000d' % 1 }}", "it computes with what is no number"),
            ("{{ text + text }}", "it computes with what is no number"),
            ("{{ 99999999 * 999999999 }}", "it computes a number that is too large"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
            ("{{ items | join(text) }}", f"it becomes longer than {LONGEST_TEXT} characters"),
            ("{% if '\"'" + "|tojson" * 20 + " %}{% endif %}", f"it becomes longer than {LONGEST_TEXT} characters"),
            ("{% for x in items %}{{ text }}{% endfor %}", f"it becomes longer than {LONGEST_TEXT} characters"),
            (
                "{% for x in items %}{% for y in items %}{% endfor %}{% endfor %}",
                f"it goes round more than {MOST_ROUNDS}",
            ),
            ("{% for x in items %}{% for y in items if y == '-' %}{% endfor %}{% endfor %}", "it goes round more than"),
            ("{% for x in items %}{{ loop.length }}{% for y in items %}{{ loop.last }}{% endfor %}{% endfor %}", "it "),
        ],
    )
    def test_end_what_grows(self, said: str, reason: str) -> None:
        assert misfit(said, text="x" * 10_000, items=["a"] * 1000).startswith(reason)

    def test_end_what_takes_too_long(self) -> None:
        moments = itertools.count()
        with pytest.raises(TransientError, match="the prompt template was not filled in time"):
            write("{% for x in items %}{% endfor %}", clock=lambda: float(next(moments)), items=["a"] * 20)

    def test_end_what_takes_too_long_between_pieces_of_text(self) -> None:
        moments = itertools.count()
        with pytest.raises(TransientError):
            write("{{ text }}-" * 20, clock=lambda: float(next(moments)))

    def test_end_a_filter_that_takes_too_long(self) -> None:
        moments = itertools.count(10)
        with pytest.raises(TransientError):
            write("{% if text|upper %}{% endif %}", clock=lambda: float(next(moments)))

    def test_let_a_long_prompt_pass(self) -> None:
        assert len(write("{{ text }}", text="x" * LONGEST_TEXT)) == LONGEST_TEXT


class TestMisfits:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("{{ person.title }}", "title is missing"),
            ("{{ person.title.short }}", "title is missing"),
            ("{{ person['secret'] }}", "a member is missing"),
            ("{{ items[7] }}", "a member is missing"),
            ("{% for x in person.friends %}{% endfor %}", "friends is missing"),
            ("{% if person.title %}{% endif %}", "title is missing"),
            ("{% for x in text %}{% endfor %}", "TypeError"),
            ("{{ text | join }}{{ person < items }}", "TypeError"),
        ],
    )
    def test_name_what_is_missing_and_no_value(self, said: str, reason: str) -> None:
        assert misfit(said) == reason

    @pytest.mark.parametrize(
        "said",
        [
            "{{ text.__class__ }}",
            "{{ text.upper }}",
            "{{ person.items }}",
            "{{ person['__class__'] }}",
            "{{ items.append }}",
            "{{ items['append'] }}",
            "{{ person.__init__.__globals__ }}",
        ],
    )
    def test_are_the_attributes_of_python_values(self, said: str) -> None:
        assert misfit(said).endswith("is missing")

    def test_are_the_insides_of_a_loop(self) -> None:
        assert misfit("{% for x in items %}{{ loop._iterator }}{% endfor %}") == "_iterator is missing"
        assert misfit("{% for x in items %}{{ loop }}{% endfor %}") == "TypeError"
