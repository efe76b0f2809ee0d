"""Expressions that mean harm, or are given data that do: each ends within its limits, and the next one is answered."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import TransientError
from tasks import side_processes
from tasks.mapping.expressions import Evaluation, Evaluators

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "resultExpression"
LIMIT, GRACE = timedelta(seconds=0.3), timedelta(seconds=1.2)
ENDLESS = "($f := function(){ $f() }; $f())"
BACKTRACKING = "$contains(text, /^(a+)+$/)"


@pytest.fixture(scope="module")
def evaluators() -> Iterator[Evaluators]:
    """Evaluators as a worker has them, at work already."""
    evaluators = Evaluators()
    evaluators.evaluate(NAME, "1", {})
    yield evaluators
    evaluators.close()


@pytest.fixture(scope="module")
def impatient() -> Iterator[Evaluators]:
    """Evaluators with short limits."""
    evaluators = Evaluators(limit=LIMIT, grace=GRACE)
    yield evaluators
    evaluators.close()


def fault(evaluators: Evaluators, expression: str, data: Any = None) -> str:
    with pytest.raises(TransientError) as raised:
        evaluators.evaluate(NAME, expression, data or {})
    assert raised.value.code == "EXPRESSION_FAILED"
    return str(raised.value)


class TestEvaluation:
    def test_has_what_the_expression_yields(self, evaluators: Evaluators) -> None:
        assert evaluators.evaluate(NAME, "{'b': a}", {"a": [1, None, "ü"]}) == Evaluation(value={"b": [1, None, "ü"]})

    def test_has_the_verdict_of_a_judging_function(self, evaluators: Evaluators) -> None:
        verdict = evaluators.evaluate(NAME, "$ignoreError()", {}, judges=True).verdict
        assert verdict == {"kind": "ignoreError", "variables": None}

    def test_names_the_property_that_is_wrong(self, evaluators: Evaluators) -> None:
        said = "does not parse: Expected : before end of expression (S0203, character 1)"
        assert fault(evaluators, "{") == f"{NAME} {said}"

    def test_takes_no_expression_that_is_too_long(self, evaluators: Evaluators) -> None:
        assert fault(evaluators, "1" * 10_001) == f"{NAME} has 10001 characters, at most 10000 are read"

    def test_of_each_thread_is_its_own(self, evaluators: Evaluators) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda n: evaluators.evaluate(NAME, "n * 2", {"n": n}).value, range(100))
            assert list(found) == [2 * n for n in range(100)]

    def test_takes_and_yields_megabytes(self, evaluators: Evaluators) -> None:
        text = "x" * 2_000_000
        assert evaluators.evaluate(NAME, "a", {"a": text}).value == text


class TestHostileExpression:
    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            pytest.param(ENDLESS, "did not end within 0.3 s", id="tail-recursion"),
            pytest.param("($f := function($n){ 1 + $f($n) }; $f(1))", "calls itself too often", id="recursion"),
            pytest.param(f"($__evaluate_entry := missing; {ENDLESS})", "did not end within 1.5 s", id="unbounded"),
            pytest.param("$pad('', 2000000000)", "needs too much memory", id="padding"),
            pytest.param(
                "($f := function($s, $n){ $n = 0 ? $s : $f($s & $s, $n - 1) }; $length($f('x', 99)))",
                "EITHER",
                id="doubling",
            ),
            pytest.param("$join($map([1..100000], function(){ $pad('', 100000) }))", "EITHER", id="joining"),
            pytest.param("[1..10000000].{'a': [$, $]}", "EITHER", id="range"),
            pytest.param("[1..99999999999]", "cannot be evaluated", id="larger-range"),
            pytest.param(
                "($f := function($a, $n){ $n = 0 ? $a : $f([[$a], [$a]], $n - 1) }; $string($f([1], 60)))",
                "EITHER",
                id="shared-lists",
            ),
            pytest.param("$eval('1')", "$eval is not available", id="eval"),
        ],
    )  # fmt: skip
    def test_ends_within_its_limits(self, impatient: Evaluators, expression: str, said: str) -> None:
        found = fault(impatient, expression)
        wanted = ("needs too much memory", "did not end within") if said == "EITHER" else (said,)
        assert any(words in found for words in wanted), found

    def test_is_followed_by_others(self, impatient: Evaluators) -> None:
        fault(impatient, ENDLESS)
        assert impatient.evaluate(NAME, "1", {}).value == 1

    def test_reads_nothing_of_the_worker(self, impatient: Evaluators) -> None:
        assert impatient.evaluate(NAME, "[$keys($), $$.environ, $env]", {"a": 1}).value == ["a"]


class TestHostileData:
    def test_that_lets_a_regular_expression_backtrack_is_given_up(self, impatient: Evaluators) -> None:
        data = {"text": "a" * 60 + "!"}
        assert fault(impatient, BACKTRACKING, data) == f"{NAME} did not end within 1.5 s"
        assert impatient.evaluate(NAME, BACKTRACKING, {"text": "aaa"}).value is True

    def test_is_never_quoted(self, impatient: Evaluators) -> None:
        for expression in ("$number(text)", "text + 1", "text()", "{text: 1}.text.$sum($)", "$toMillis(text)"):
            try:
                impatient.evaluate(NAME, expression, {"text": "hunter2"})
            except TransientError as error:
                assert "hunter2" not in str(error)  # noqa: PT017  # some of them may be answered

    @pytest.mark.parametrize("key", ["__evaluate_entry", "$", "", "@", "sum", "__class__"])
    def test_of_odd_names_are_data_like_others(self, impatient: Evaluators, key: str) -> None:
        assert impatient.evaluate(NAME, f"$lookup($, '{key}')", {key: 1}).value == 1


class TestProcess:
    @pytest.fixture
    def one(self) -> Iterator[Evaluators]:
        one = Evaluators(most=1)
        one.evaluate(NAME, "1", {})
        yield one
        one.close()

    def test_is_used_again(self, one: Evaluators) -> None:
        before = pid(one)
        one.evaluate(NAME, "2", {})
        assert pid(one) == before

    def test_that_was_killed_is_replaced(self, one: Evaluators) -> None:
        os.kill(pid(one), signal.SIGKILL)
        one._idle[0]._process.wait(5)
        assert one.evaluate(NAME, "2", {}).value == 2

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_outlives_the_signals_that_end_a_worker(self, one: Evaluators, number: int) -> None:
        before = pid(one)
        os.kill(before, number)
        assert one.evaluate(NAME, "2", {}).value == 2
        assert pid(one) == before

    def test_ends_with_the_worker_that_started_it(self, one: Evaluators) -> None:
        evaluator = one._idle[0]
        evaluator._socket.close()
        assert evaluator._process.wait(5) == 0

    def test_that_dies_at_work_is_said_to_have(self, one: Evaluators, monkeypatch: pytest.MonkeyPatch) -> None:
        evaluator = one._idle[0]
        evaluator._process.kill()
        evaluator._process.wait(5)
        monkeypatch.setattr(evaluator, "is_alive", lambda: True, raising=False)
        assert fault(one, "1") == f"{NAME} was not evaluated: the process for it has ended"

    def test_is_not_shared_with_a_fork(self, one: Evaluators) -> None:
        (evaluator,) = one._idle
        one.forget()
        assert one.evaluate(NAME, "2", {}).value == 2
        assert pid(one) != evaluator._process.pid
        evaluator.end()

    def test_that_all_others_have_is_not_waited_for_without_end(
        self, one: Evaluators, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(side_processes, "TURN_SECONDS", 0.01)
        one._places.acquire()
        assert "others have taken all 1 places" in fault(one, "1")
        one._places.release()

    def test_is_not_kept_where_its_answer_was_not_awaited(
        self, one: Evaluators, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evaluator = one._idle[0]

        def interrupted(*_: object) -> bytes:
            raise KeyboardInterrupt

        monkeypatch.setattr(type(evaluator), "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            one.evaluate(NAME, "1", {})
        assert one._idle == []
        assert not evaluator.is_alive()


def pid(evaluators: Evaluators) -> int:
    return evaluators._idle[0]._process.pid
