"""What ProcOS does with a step of a process, one concept a test; read these first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from procos.domain.errors import BusinessError, PermanentError, RateLimited, TransientError
from procos.testing import typed

if TYPE_CHECKING:
    from tests.fundamentals.conftest import System


def greet(name: str) -> dict[str, object]:
    """Return the variables of a step that goes well."""
    return {"greeting": f"Hello, {name}!"}


def test_a_step_becomes_a_task_and_its_result_becomes_variables(system: System) -> None:
    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (publication,) = system.turn()
    assert publication.dispatch.variables == {"name": "Ada"}
    system.work(publication, greet)
    assert system.engine.completed[step] == {"greeting": "Hello, Ada!"}


def test_a_step_is_published_once_however_often_the_bridge_looks(system: System) -> None:
    system.engine.add("greeting", variables=typed(name="Ada"))
    assert [len(system.turn()) for _ in range(3)] == [1, 0, 0]


def test_a_slow_task_keeps_its_step(system: System) -> None:
    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (publication,) = system.turn()
    system.pass_time(seconds=3600)
    assert system.turn() == []
    system.work(publication, greet)
    assert step in system.engine.completed


def test_work_done_while_the_bridge_was_away_still_counts_and_runs_once(system: System) -> None:
    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (publication,) = system.turn()
    system.clock.advance(seconds=600)
    assert system.turn() == []
    system.work(publication, greet)
    assert step in system.engine.completed


def test_a_failed_try_is_made_again_after_a_while_and_at_last_becomes_an_incident(system: System) -> None:
    def fail(**_: object) -> NoReturn:
        raise TransientError("the service is down", retry_in=timedelta(seconds=30))

    step = system.engine.add("greeting")
    for _ in range(3):
        (publication,) = system.turn()
        system.work(publication, fail)
        assert system.turn() == []
        system.pass_time(seconds=31)
    assert [failure.retries for failure in system.engine.failures] == [2, 1, 0]
    assert system.engine.incidents[step] == "the service is down"


def test_a_rate_limit_costs_patience_but_no_try(system: System) -> None:
    def wait(**_: object) -> NoReturn:
        raise RateLimited("too many requests", retry_in=timedelta(seconds=30))

    system.engine.add("greeting")
    for _ in range(10):
        (publication,) = system.turn()
        system.work(publication, wait)
        system.pass_time(seconds=31)
    assert system.engine.incidents == {}


def test_a_business_error_goes_where_the_model_says(system: System) -> None:
    def refuse(**_: object) -> NoReturn:
        raise BusinessError("NO_SUCH_PERSON", "nobody is called so")

    step = system.engine.add("greeting", catches=["NO_SUCH_PERSON"])
    (publication,) = system.turn()
    system.work(publication, refuse)
    assert system.engine.bpmn_errors[step] == "NO_SUCH_PERSON"


def test_a_business_error_the_model_forgot_is_an_incident_and_not_silence(system: System) -> None:
    def refuse(**_: object) -> NoReturn:
        raise BusinessError("NO_SUCH_PERSON", "nobody is called so")

    step = system.engine.add("greeting")
    (publication,) = system.turn()
    system.work(publication, refuse)
    assert "NO_SUCH_PERSON" in system.engine.incidents[step]


def test_what_no_retry_can_mend_is_an_incident_at_once(system: System) -> None:
    def give_up(**_: object) -> NoReturn:
        raise PermanentError("the key is wrong")

    step = system.engine.add("greeting")
    (publication,) = system.turn()
    system.work(publication, give_up)
    assert system.engine.incidents[step] == "the key is wrong"


def test_a_result_that_arrives_twice_counts_once(system: System) -> None:
    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (publication,) = system.turn()
    system.work(publication, greet)
    system.work(publication, lambda **_: {"greeting": "late"})
    assert system.engine.completed[step] == {"greeting": "Hello, Ada!"}


def test_the_failure_of_an_old_try_does_not_disturb_the_new_one(system: System) -> None:
    def fail(**_: object) -> NoReturn:
        raise TransientError("again", retry_in=timedelta(0))

    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (old,) = system.turn()
    system.work(old, fail)
    system.clock.advance(seconds=1)
    (new,) = system.turn()
    system.work(old, fail)
    assert len(system.engine.failures) == 1
    system.work(new, greet)
    assert step in system.engine.completed


def test_a_lost_ledger_costs_a_second_run_at_worst_and_never_a_step(system: System) -> None:
    step = system.engine.add("greeting", variables=typed(name="Ada"))
    (first,) = system.turn()
    system.ledger.entries.clear()
    system.ledger.leases.clear()
    system.clock.advance(seconds=21)
    (second,) = system.turn()
    system.work(first, greet)
    system.work(second, greet)
    assert system.engine.completed == {step: {"greeting": "Hello, Ada!"}}
