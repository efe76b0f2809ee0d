"""What becomes of a task's result: by name, as one variable, or what an expression makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from procos.domain.errors import TransientError, VariableError
from procos.domain.mapping import OutputMapping
from procos.settings import load_settings
from tasks.mapping.results import mapped_result

SETTINGS = load_settings({}, dotenv=None)
RESULT = {"answer": "Hello", "usage": {"tokens": 7}}


def mapped(
    *, variable: str | None = None, expression: str | None = None, result: dict[str, object] | None = None
) -> object:
    mapping = OutputMapping(result_variable=variable, result_expression=expression)
    return mapped_result(mapping, RESULT if result is None else result, SETTINGS)


class TestResultVariable:
    def test_has_the_whole_result(self) -> None:
        assert mapped(variable="reply") == {"reply": RESULT}

    def test_is_there_without_a_result_too(self) -> None:
        assert mapped(variable="reply", result={}) == {"reply": {}}

    def test_has_values_as_json_knows_them(self) -> None:
        moment = datetime(2026, 11, 23, 4, tzinfo=UTC)
        result: dict[str, object] = {"at": moment, "day": moment.date(), "price": Decimal("1.50"), "pair": (1, 2)}
        assert mapped(variable="reply", result=result) == {
            "reply": {"at": "2026-11-23T04:00:00.000+0000", "day": "2026-11-23", "price": "1.50", "pair": [1, 2]}
        }

    @pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "${x}", "x" * 256])
    def test_without_a_proper_name_fails(self, name: str) -> None:
        with pytest.raises(TransientError, match=r"resultVariable is .* expected at most 255 letters") as raised:
            mapped(variable=name)
        assert raised.value.code == "EXPRESSION_FAILED"


class TestResultExpression:
    def test_names_the_variables(self) -> None:
        assert mapped(expression="{'reply': answer, 'cost': usage.tokens * 2, 'note': null}") == {
            "reply": "Hello", "cost": 14, "note": None,
        }  # fmt: skip

    def test_may_stand_beside_a_result_variable(self) -> None:
        assert mapped(variable="all", expression="{'reply': answer}") == {"all": RESULT, "reply": "Hello"}

    def test_wins_where_both_set_the_same(self) -> None:
        assert mapped(variable="reply", expression="{'reply': answer}") == {"reply": "Hello"}

    def test_may_set_nothing(self) -> None:
        assert mapped(expression="{}") == {}

    @pytest.mark.parametrize(
        ("expression", "kind"),
        [
            ("missing", "nothing"),
            ("null", "nothing"),
            ("answer", "a text"),
            ("usage.tokens", "a number"),
            ("true", "a boolean"),
            ("[1, 2]", "a list"),
        ],
    )
    def test_fails_with_anything_but_an_object(self, expression: str, kind: str) -> None:
        with pytest.raises(TransientError, match=f"resultExpression yields {kind}, expected an object"):
            mapped(expression=expression)

    def test_fails_where_it_cannot_be_evaluated(self) -> None:
        with pytest.raises(TransientError, match="resultExpression cannot be evaluated"):
            mapped(expression="{'a': answer + 1}")

    @pytest.mark.parametrize(
        ("expression", "named"),
        [("{'a': '\\u0000'}", "'a'"), ("{'a': {'__type__': 1, '__value__': 2}}", "'a'"), ("{'': 1}", "''")],
    )
    def test_is_checked_like_any_result(self, expression: str, named: str) -> None:
        with pytest.raises(VariableError, match=named):
            mapped(expression=expression)

    def test_may_not_make_more_than_a_message_holds(self) -> None:
        mapping = OutputMapping(result_expression="{'a': $pad('', 2000)}")
        with pytest.raises(VariableError, match="at most 1024 are carried"):
            mapped_result(mapping, {}, load_settings({"PROCOS_WORKER_LARGEST_RESULT": "1024"}, dotenv=None))


class TestNothingSaid:
    def test_leaves_the_result_as_it_is(self) -> None:
        assert mapped() is RESULT
