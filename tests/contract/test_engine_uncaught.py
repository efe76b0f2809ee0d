"""BPMN errors nobody catches: what our engine refuses, what a stock engine swallows, and what the model says of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineRejectedError, TaskGoneError
from procos.engine.catches import CatchingModel
from procos.engine.paths import path
from tests.contract.error_models import CALLED, CAUGHT, UNCAUGHT, Thrower, started

if TYPE_CHECKING:
    from tests.contract.engine_labs import RealLab

CODE = "REFUSED"
EVERY_MODEL = [
    *(pytest.param(content, True, id=f"caught-by-{name}") for name, content in CAUGHT.items()),
    *(pytest.param(content, False, id=f"not-caught-by-{name}") for name, content in UNCAUGHT.items()),
]


def throw(lab: RealLab, thrower: Thrower) -> None:
    lab.engine.raise_bpmn_error(thrower.task, "me", code=CODE, message="no", variables={})


def throw_without_looking(lab: RealLab, thrower: Thrower) -> None:
    lab.transport.command(path("external-task", thrower.task, "bpmnError"), {"workerId": "me", "errorCode": CODE})


def is_open(lab: RealLab, thrower: Thrower) -> bool:
    return thrower.task in lab.engine.which_exist({thrower.task})


class TestCatchingModel:
    @pytest.mark.parametrize(("content", "caught"), EVERY_MODEL)
    def test_agrees_with_the_engine(self, real_lab: RealLab, content: str, caught: bool) -> None:  # noqa: FBT001
        thrower = started(real_lab, content)
        xml = real_lab.transport.get(path("process-definition", thrower.definition, "xml"))["bpmn20Xml"]
        assert CatchingModel(xml).catches("step", CODE) is caught
        with nullcontext() if caught else pytest.raises(EngineRejectedError, match="ENGINE-13033"):
            throw_without_looking(real_lab, thrower)


class TestOurEngine:
    def test_says_that_it_refuses_them(self, real_lab: RealLab) -> None:
        assert real_lab.engine.refuses_uncaught

    @pytest.mark.parametrize(("caller", "caught"), CALLED.values(), ids=CALLED)
    def test_knows_whether_a_caller_catches(self, real_lab: RealLab, caller: str, caught: bool) -> None:  # noqa: FBT001
        thrower = started(real_lab, UNCAUGHT["nothing"], caller=caller)
        with nullcontext() if caught else pytest.raises(EngineRejectedError, match="ENGINE-13033"):
            throw(real_lab, thrower)
        assert is_open(real_lab, thrower) is not caught


class TestStockEngine:
    def test_says_nothing_and_swallows_them(self, stock_lab: RealLab) -> None:
        assert not stock_lab.engine.refuses_uncaught
        thrower = started(stock_lab, UNCAUGHT["nothing"])
        throw_without_looking(stock_lab, thrower)
        assert not is_open(stock_lab, thrower)
        assert stock_lab.processes.instance(thrower.instance).has_ended

    @pytest.mark.parametrize("content", CAUGHT.values(), ids=CAUGHT)
    def test_is_thrown_what_the_model_catches(self, stock_lab: RealLab, content: str) -> None:
        thrower = started(stock_lab, content)
        throw(stock_lab, thrower)
        assert not is_open(stock_lab, thrower)

    @pytest.mark.parametrize("content", UNCAUGHT.values(), ids=UNCAUGHT)
    def test_is_spared_what_the_model_does_not_catch(self, stock_lab: RealLab, content: str) -> None:
        thrower = started(stock_lab, content)
        lease = stock_lab.engine.find(thrower.task).lease
        with pytest.raises(EngineRejectedError, match=f"ENGINE-13033.*{CODE}.*step") as refusal:
            throw(stock_lab, thrower)
        assert refusal.value.status == 500
        assert stock_lab.engine.find(thrower.task).lease == lease

    @pytest.mark.parametrize(("caller", "caught"), CALLED.values(), ids=CALLED)
    def test_decides_for_instances_that_were_called(
        self,
        stock_lab: RealLab,
        caller: str,
        caught: bool,  # noqa: ARG002, FBT001  # it makes no difference here
    ) -> None:
        thrower = started(stock_lab, UNCAUGHT["nothing"], caller=caller)
        throw(stock_lab, thrower)
        assert not is_open(stock_lab, thrower)

    def test_says_of_a_step_that_has_ended_that_it_is_gone(self, stock_lab: RealLab) -> None:
        thrower = started(stock_lab, UNCAUGHT["nothing"])
        stock_lab.engine.complete(thrower.task, "me", {})
        with pytest.raises(TaskGoneError):
            throw(stock_lab, thrower)
