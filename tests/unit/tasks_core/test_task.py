"""@process_task: what comes in is checked, what goes out is checked, and every end is an outcome."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import task_postrun
from kombu.utils import json as wire

import tasks.task
from procos.app import app
from procos.domain.errors import BusinessError, PermanentError, RateLimited, StepCancelled, TransientError
from procos.domain.mapping import OutputMapping
from procos.domain.outcome import TaskFailed, failure_from_json, from_envelope
from procos.settings import load_settings
from procos.testing import dispatch_ref
from tasks.starts import Start
from tasks.task import TaskContext, process_task
from tests.unit.tasks_core.one_run import ROUTE, Answer, Beating, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.outcome import BpmnError, Completion, Failure, Postponement


def returned(envelope: object) -> Completion | BpmnError | Postponement:
    return from_envelope(wire.loads(wire.dumps(envelope)))


def failed(run: Callable[..., Any], function: Callable[..., Any]) -> Failure:
    with pytest.raises(TaskFailed) as raised:
        run(function, text="hi")
    return failure_from_json(raised.value.payload)


def raising(error: BaseException) -> Callable[[Question], None]:
    def function(_: Question) -> None:
        raise error

    return function


class TestInput:
    def test_is_built_from_the_variables_of_the_same_names(self, run: Callable[..., Any]) -> None:
        seen: list[object] = []
        run(seen.append, text="hi", number=3, other="ignored")
        assert seen == [Question(text="hi", number=3)]

    def test_takes_defaults_for_what_is_null(self, run: Callable[..., Any]) -> None:
        seen: list[object] = []
        run(seen.append, text="hi", number=None)
        assert seen == [Question(text="hi", number=7)]

    @pytest.mark.parametrize(
        ("variables", "named"),
        [
            ({}, "text: Field required"),
            ({"text": None}, "text: Input should be"),
            ({"text": 5}, "text: "),
            ({"text": "x" * 11}, "text: "),
            ({"text": "\ud83d"}, "text: "),
            ({"text": "hi", "number": "many"}, "number: "),
        ],
    )
    def test_that_is_wrong_is_a_bpmn_error_that_names_the_variable(
        self, run: Callable[..., Any], variables: dict[str, object], named: str
    ) -> None:
        outcome = returned(run(lambda _: None, **variables))
        assert outcome.code == "INVALID_INPUT"  # type: ignore[union-attr]  # a BPMN error has one
        assert named in outcome.message  # type: ignore[union-attr]  # the same

    def test_does_not_quote_the_value_that_is_wrong(self, run: Callable[..., Any]) -> None:
        assert "hunter2" not in json.dumps(wire.dumps(run(lambda _: None, text="hi", number="hunter2")))


class TestResult:
    @pytest.mark.parametrize(
        ("result", "variables"),
        [
            (None, {}),
            ({"a": 1}, {"a": 1}),
            (Answer(answer="42"), {"answer": "42", "at": datetime(2026, 11, 23, tzinfo=UTC)}),
        ],
    )
    def test_becomes_variables(self, run: Callable[..., Any], result: object, variables: dict[str, object]) -> None:
        outcome = returned(run(lambda _: result, text="hi"))
        assert outcome.variables == variables  # type: ignore[union-attr]  # a completion has them

    @pytest.mark.parametrize("value", [float("nan"), "a\x00b", object(), b"x", "\udc00"])
    def test_that_no_variable_can_hold_is_an_incident_that_names_it(
        self, run: Callable[..., Any], value: object
    ) -> None:
        failure = failed(run, lambda _: {"bad": value})
        assert (failure.code, failure.permanent) == ("VARIABLE", True)
        assert "'bad'" in failure.message

    @pytest.mark.parametrize("value", [float("nan"), object()])
    def test_of_a_bpmn_error_is_checked_too(self, run: Callable[..., Any], value: object) -> None:
        failure = failed(run, raising(BusinessError("REFUSED", "no", variables={"bad": value})))
        assert (failure.code, failure.permanent) == ("VARIABLE", True)

    def test_that_is_too_large_for_a_message_is_an_incident_that_names_it_and_the_cure(
        self, run: Callable[..., Any]
    ) -> None:
        failure = failed(run, lambda _: {"large": "x" * 9_000_000})
        assert (failure.code, failure.permanent) == ("VARIABLE", True)
        assert "'large'" in failure.message
        assert "PROCOS_BLOBS_URL" in failure.message

    def test_of_another_kind_is_refused(self, run: Callable[..., Any]) -> None:
        assert failed(run, lambda _: "text").code == "RESULT"


class TestErrors:
    def test_business_errors_travel_as_bpmn_errors(self, run: Callable[..., Any]) -> None:
        outcome = returned(run(raising(BusinessError("REFUSED", "no")), text="hi"))
        assert (outcome.code, outcome.message) == ("REFUSED", "no")  # type: ignore[union-attr]  # a BPMN error has both

    def test_rate_limits_travel_as_postponements(self, run: Callable[..., Any]) -> None:
        outcome = returned(run(raising(RateLimited("slow", retry_in=timedelta(seconds=9))), text="hi"))
        assert outcome.retry_in == timedelta(seconds=9)  # type: ignore[union-attr]  # a postponement has it

    @pytest.mark.parametrize(
        ("error", "code", "permanent"),
        [
            (TransientError("again"), "TRANSIENT", False),
            (PermanentError("never", code="BAD"), "BAD", True),
            (KeyError("a"), "KeyError", False),
            (MemoryError(), "MemoryError", False),
        ],
    )
    def test_everything_else_is_raised_as_a_failure(
        self,
        run: Callable[..., Any],
        error: Exception,
        code: str,
        permanent: bool,  # noqa: FBT001  # a table's column
    ) -> None:
        failure = failed(run, raising(error))
        assert (failure.code, failure.permanent, failure.worker) == (code, permanent, "worker@host")

    def test_tracebacks_show_where_but_no_values(self, run: Callable[..., Any]) -> None:
        def asks_with_secret(_: Question) -> None:
            key = "hunter" + "2"
            raise ValueError(key)

        details = failed(run, asks_with_secret).details
        assert "asks_with_secret" in details
        assert "hunter2" not in details

    def test_an_exit_in_a_thread_is_a_failure_for_good(self, run: Callable[..., Any]) -> None:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(failed, run, lambda _: sys.exit(3)).result(5).code == "SYSTEM_EXIT"

    def test_a_models_own_complaint_is_told_without_the_value(self, run: Callable[..., Any]) -> None:
        message = failed(run, lambda _: Question.model_validate({"text": {"secret": "hunter2"}})).message
        assert "text" in message
        assert "hunter2" not in message

    def test_an_exit_in_a_process_ends_the_process(self, run: Callable[..., Any]) -> None:
        with pytest.raises(SystemExit):
            run(lambda _: sys.exit(3), text="hi")


class TestStart:
    def test_of_a_dispatch_that_is_not_to_run_does_nothing(
        self, run: Callable[..., Any], start: dict[str, Start], beating: Beating
    ) -> None:
        seen: list[object] = []
        for said in (Start.NOT_WANTED, Start.RUNS_ELSEWHERE):
            start["says"] = said
            with pytest.raises(Ignore):
                run(seen.append, text="hi")
        assert seen == []
        assert beating.runs == []

    def test_too_often_is_an_incident(self, run: Callable[..., Any], start: dict[str, Start]) -> None:
        start["says"] = Start.TOO_OFTEN
        failure = failed(run, lambda _: None)
        assert (failure.code, failure.permanent) == ("STARTED_TOO_OFTEN", True)
        assert "3 times" in failure.message
        assert failure.worker == "worker@host"

    def test_without_a_dispatch_is_an_incident(self, start: dict[str, Start]) -> None:  # noqa: ARG002  # no Redis
        celery_task = SimpleNamespace(app=SimpleNamespace(conf=SimpleNamespace(procos=None)), request=None)
        with pytest.raises(TaskFailed) as raised:
            tasks.task._run(lambda _: None, Question, ROUTE, takes_context=False, task=celery_task, kwargs={"a": 1})
        assert failure_from_json(raised.value.payload).code == "DISPATCH"


class TestHeartbeat:
    def test_shows_a_run_until_celery_lets_go_of_it(self, run: Callable[..., Any], beating: Beating) -> None:
        shown: list[bool] = []
        run(lambda _: shown.extend(each.is_working for each in beating.runs), text="hi")
        (still_shown,) = beating.runs
        assert (shown, still_shown.is_working) == ([True], False)
        request = SimpleNamespace(procos_run=still_shown)
        task_postrun.send(sender=None, task=SimpleNamespace(app=app, request=request))
        assert beating.runs == []

    @pytest.mark.parametrize("stage", ["mapped", "kept_apart", "not_done_again"])
    def test_shows_a_run_as_publishing_when_all_else_is_done(
        self, run: Callable[..., Any], beating: Beating, monkeypatch: pytest.MonkeyPatch, stage: str
    ) -> None:
        """A worker that is asked to stop waits for the mapping and the upload of what its functions have returned."""
        shown: list[bool] = []
        original = getattr(tasks.task, stage)

        def looked_at(*args: Any, **kwargs: Any) -> Any:
            shown.extend(each.is_publishing for each in beating.runs)
            return original(*args, **kwargs)

        monkeypatch.setattr(tasks.task, stage, looked_at)
        run(lambda _: None, text="hi")
        assert (set(shown), beating.runs[0].is_publishing) == ({False}, True)

    @pytest.mark.parametrize("error", [PermanentError("no"), StepCancelled("no")])
    def test_shows_a_run_that_has_failed_as_publishing_too(
        self, run: Callable[..., Any], beating: Beating, error: Exception
    ) -> None:
        failed(run, raising(error))
        assert [each.is_publishing for each in beating.runs] == [True]

    def test_knows_nothing_of_tasks_that_are_not_ours(self, beating: Beating) -> None:
        task_postrun.send(sender=None, task=SimpleNamespace(app=app, request=SimpleNamespace()))
        assert beating.runs == []


class TestCancelledStep:
    @pytest.fixture
    def cancel(self, beating: Beating) -> Callable[[], None]:
        return lambda: beating.runs[0].cancel(1.0)

    @pytest.mark.parametrize("error", [StepCancelled("cancelled"), SoftTimeLimitExceeded()])
    def test_that_stops_for_it_reports_nothing(
        self, run: Callable[..., Any], cancel: Callable[[], None], error: Exception
    ) -> None:
        def work(_: Question) -> None:
            cancel()
            raise error

        with pytest.raises(Ignore):
            run(work, text="hi")

    def test_is_known_to_the_task(self, run: Callable[..., Any], cancel: Callable[[], None]) -> None:
        asked: list[bool] = []

        def work(_: Question, context: TaskContext) -> None:
            context.raise_if_cancelled()
            asked.append(context.is_cancelled())
            cancel()
            asked.append(context.is_cancelled())
            context.raise_if_cancelled()
            asked.append(True)

        with pytest.raises(Ignore):
            run(work, takes_context=True, text="hi")
        assert asked == [False, True]

    def test_that_ends_all_the_same_reports_as_ever(self, run: Callable[..., Any], cancel: Callable[[], None]) -> None:
        outcome = returned(run(lambda _: cancel(), text="hi"))
        assert outcome.variables == {}  # type: ignore[union-attr]  # a completion has them

    @pytest.mark.parametrize("error", [StepCancelled("not so"), SoftTimeLimitExceeded()])
    def test_is_not_taken_on_the_word_of_a_task(self, run: Callable[..., Any], error: Exception) -> None:
        assert failed(run, raising(error)).code == type(error).__name__


class TestMapping:
    IGNORES = OutputMapping(error_expression="$ignoreError({'ignored': error.code})")

    def test_of_the_model_decides_what_an_error_becomes(self, run: Callable[..., Any]) -> None:
        outcome = returned(run(raising(KeyError("a")), mapping=self.IGNORES, text="hi"))
        assert outcome.variables == {"ignored": "KeyError"}  # type: ignore[union-attr]  # a completion has them

    def test_is_not_asked_about_a_cancelled_step(self, run: Callable[..., Any], beating: Beating) -> None:
        def work(_: Question) -> None:
            beating.runs[0].cancel(1.0)
            raise StepCancelled("cancelled")

        with pytest.raises(Ignore):
            run(work, mapping=self.IGNORES, text="hi")

    def test_is_not_asked_about_an_exit(self, run: Callable[..., Any]) -> None:
        def leave() -> None:
            with pytest.raises(TaskFailed, match="SYSTEM_EXIT"):
                run(lambda _: sys.exit(3), mapping=self.IGNORES, text="hi")

        with ThreadPoolExecutor(1) as pool:
            pool.submit(leave).result(5)


class TestContext:
    def test_names_the_step(self, run: Callable[..., Any]) -> None:
        seen: list[TaskContext] = []
        run(lambda _, context: seen.append(context), takes_context=True, text="hi")
        (context,) = seen
        assert context.idempotency_key == context.external_task_id == "task-1"
        assert (context.celery_id, context.business_key) == ("celery-id", "order 1")
        assert timedelta(seconds=50) < context.remaining() <= timedelta(seconds=59)
        assert not context.is_cancelled()

    def test_never_has_less_than_no_time(self) -> None:
        context = TaskContext(
            external_task_id=dispatch_ref().external_task_id,
            process_instance_id=dispatch_ref().process_instance_id,
            business_key=None,
            topic=dispatch_ref().topic,
            celery_id="id",
            settings=load_settings({}, dotenv=None),
            deadline=10.0,
            clock=lambda: 99.0,
        )
        assert context.remaining() == timedelta(0)


class TestProcessTask:
    def test_returns_the_function_unchanged(self) -> None:
        def ask(question: Question) -> None:
            """Do nothing."""

        before = app.tasks.pop("procos.ai_query", None)
        try:
            assert process_task(topic="ai_query")(ask) is ask
            assert "procos.ai_query" in app.tasks
        finally:
            app.tasks.pop("procos.ai_query", None)
            if before is not None:
                app.tasks["procos.ai_query"] = before

    @pytest.mark.parametrize("function", [lambda: None, lambda question: None])  # noqa: ARG005  # never called
    def test_refuses_a_function_without_a_model(self, function: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match="pydantic model"):
            process_task(topic="ai_query")(function)

    def test_refuses_a_topic_without_a_route_and_names_it(self) -> None:
        def ask(question: Question) -> None:
            """Do nothing."""

        with pytest.raises(Exception, match="'nowhere'"):
            process_task(topic="nowhere")(ask)
