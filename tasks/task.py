"""@process_task: turns a function of variables to variables into a Celery task the bridge can dispatch.

    @process_task(topic="greeting")
    def greet(person: Person, context: TaskContext) -> Greeting: ...

The wrapper validates what comes in and what goes out, counts starts, maps errors to outcomes, and returns an envelope
that travels back in Celery's success callback. A failure is raised as `TaskFailed`, so that Flower shows it as one.
The function itself stays an ordinary function: tests call it directly.
"""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from billiard import current_process
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import task_postrun, worker_shutting_down
from pydantic import BaseModel, ValidationError

from procos.app import app
from procos.domain import variables as rules
from procos.domain.dispatch import Dispatch
from procos.domain.errors import BusinessError, DispatchError, PermanentError, StepCancelled
from procos.domain.external_task import Topic
from procos.domain.outcome import (
    Completion,
    Envelope,
    Failure,
    Outcome,
    TaskFailed,
    failure_to_json,
    outcome_of,
    to_envelope,
)
from procos.logs import get_logger
from procos.routes import Route, routes
from tasks import functions
from tasks.blobs import INVALID_INPUT
from tasks.context import TaskContext
from tasks.deeds import not_done_again
from tasks.ending import end_when_only_waiting
from tasks.heartbeat import heartbeat
from tasks.large_values import kept_apart, largest_result, readable, with_references_written
from tasks.mapping.outcomes import SYSTEM_EXIT, mapped
from tasks.runs import Run
from tasks.secrets.redaction import without_secrets
from tasks.starts import Start, note_start, too_often
from tasks.step_context import context_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.domain.dispatch import DispatchRef
    from procos.settings import Settings

__all__ = ["TaskContext", "process_task"]

LONGEST_TRACEBACK = 8000

Function = TypeVar("Function", bound=Callable[..., "BaseModel | Mapping[str, object] | None"])
log = get_logger(__name__)


def process_task(*, topic: str) -> Callable[[Function], Function]:
    """Register a function as the Celery task of a topic; the function is returned unchanged.

    Its first parameter is a pydantic model, filled from the variables of the same names; a second one, if there is
    one, gets the `TaskContext`. What it returns, a model or a mapping, becomes variables.

    Raises:
        TypeError: the first parameter is not annotated with a pydantic model.
    """

    def register(function: Function) -> Function:
        route = routes()[Topic(topic)]
        model = functions.added(Topic(topic), function)
        takes_context = len(inspect.signature(function).parameters) > 1

        def run(task: Any, /, **kwargs: object) -> Envelope:
            return _run(function, model, route, takes_context=takes_context, task=task, kwargs=kwargs)

        app.task(name=route.task_name, bind=True, ignore_result=not route.store_result)(run)
        return function

    return register


def _run(
    function: Callable[..., Any],
    model: type[BaseModel],
    route: Route,
    *,
    takes_context: bool,
    task: Any,
    kwargs: Mapping[str, object],
) -> Envelope:
    """Run one dispatch; every way it can end leaves as an envelope or as `TaskFailed`."""
    settings: Settings = task.app.conf.procos
    began, dispatch = time.monotonic(), _dispatch(kwargs)
    ref = dispatch.ref
    structlog.contextvars.bind_contextvars(
        external_task_id=ref.external_task_id, topic=ref.topic, process_instance_id=ref.process_instance_id
    )
    try:
        run = _started(ref, task, route, settings)
        with _until_published(run):
            context = context_of(dispatch, run, task.request, route, settings, began=began)
            outcome = _outcome(
                lambda: _called(function, model, dispatch, context if takes_context else None, settings=settings), run
            )
            # Before the model's expressions, which could write a secret in a form nobody recognises.
            outcome = without_secrets(outcome, context.handed_out)
            outcome = not_done_again(outcome, context.deeds)
            outcome = mapped(outcome, dispatch, route.retry, settings=settings)
            outcome = kept_apart(outcome, under=ref.process_instance_id, settings=settings)
            outcome = not_done_again(outcome, context.deeds)
        log.info("task.ended", outcome=type(outcome).__name__)
        if isinstance(outcome, Failure):
            raise TaskFailed(failure_to_json(replace(outcome, worker=run.worker)))
        return to_envelope(outcome)
    finally:
        structlog.contextvars.clear_contextvars()


def _dispatch(kwargs: Mapping[str, object]) -> Dispatch:
    try:
        return Dispatch.from_kwargs(kwargs)
    except DispatchError as error:
        raise TaskFailed(failure_to_json(Failure(message=str(error), code="DISPATCH", permanent=True))) from error


def _started(ref: DispatchRef, task: Any, route: Route, settings: Settings) -> Run:
    """Start a run, and show it until Celery has let go of it.

    Raises:
        Ignore: the dispatch is not to be run, or runs elsewhere.
        TaskFailed: it was started too often.
    """
    run = Run(
        ref=ref,
        queue=route.queue,
        worker=task.request.hostname or "",
        in_process_of_its_own=bool(current_process().daemon) and _in_main_thread(),
    )
    start = note_start(run, max_starts=route.max_starts, settings=settings.redis)
    if start in {Start.NOT_WANTED, Start.RUNS_ELSEWHERE}:
        log.info("task.not_run", reason=str(start))
        raise Ignore
    if start is Start.TOO_OFTEN:
        raise TaskFailed(failure_to_json(too_often(route.max_starts, worker=run.worker)))
    task.request.procos_run = run
    heartbeat(settings.redis.url).add(run)
    return run


@contextmanager
def _until_published(run: Run) -> Iterator[None]:
    """Say, however the work on a run ends, that from then on it is Celery's to publish."""
    try:
        yield
    finally:
        run.is_publishing = True


@task_postrun.connect
def _let_go(task: Any = None, **_: object) -> None:
    """Show a run no longer: its outcome is with the broker, and stored."""
    run = getattr(task.request, "procos_run", None)
    if run is not None:
        heartbeat(task.app.conf.procos.redis.url).remove(run)


@worker_shutting_down.connect
def _end(**_: object) -> None:
    settings: Settings = app.conf.procos
    end_when_only_waiting(heartbeat(settings.redis.url), after=settings.worker.soft_shutdown)


def _outcome(call: Callable[[], Mapping[str, object]], run: Run) -> Outcome:
    """Call the task, and map whatever happens to an outcome.

    Raises:
        Ignore: the step was cancelled, and the task has stopped for it.
    """
    try:
        return Completion(variables=_worked(call, run))
    except (StepCancelled, SoftTimeLimitExceeded) as error:
        if run.cancelled.is_set():
            log.info("task.stopped")
            raise Ignore from error
        return outcome_of(error, details=_traceback(error))
    except ValidationError as error:  # its own words quote the values
        return Failure(message=_problems(error), details=_traceback(error), code="ValidationError")
    except Exception as error:  # noqa: BLE001  # the task author's errors are ours to map, whatever they are
        return outcome_of(error, details=_traceback(error))
    except SystemExit as error:
        # In a thread it would leave the message unacknowledged for ever; in a process it is how Celery stops a child.
        if _in_main_thread():
            raise
        return outcome_of(PermanentError(f"the task called sys.exit({error.code})", code=SYSTEM_EXIT))


def _worked(call: Callable[[], Mapping[str, object]], run: Run) -> Mapping[str, object]:
    """Call the task; only here may a cancelled run be interrupted."""
    try:
        run.is_working = True
        return call()
    finally:
        run.is_working = False


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _called(
    function: Callable[..., Any],
    model: type[BaseModel],
    dispatch: Dispatch,
    context: TaskContext | None,
    *,
    settings: Settings,
) -> Mapping[str, object]:
    request, limit = _validated(model, readable(model, dispatch.variables, settings)), largest_result(settings)
    try:
        returned = function(request) if context is None else function(request, context)
    except BusinessError as error:
        error.variables = with_references_written(error.variables)
        rules.check(error.variables, largest=limit.bytes, cure=limit.cure, travels=limit.travels)
        raise
    result = _as_variables(returned)
    rules.check(result, largest=limit.bytes, cure=limit.cure, travels=limit.travels)
    return result


def _validated(model: type[BaseModel], variables: Mapping[str, object]) -> BaseModel:
    """Build the input model; a null takes the field's default where there is one, as an absent variable does.

    Raises:
        BusinessError: a variable is missing or wrong; the model may catch INVALID_INPUT.
    """
    optional = {
        name
        for own, field in model.model_fields.items()
        for name in (own, field.alias, field.validation_alias)
        if not field.is_required()
    }
    given = {name: value for name, value in variables.items() if value is not None or name not in optional}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BusinessError(INVALID_INPUT, _problems(error)) from error


def _problems(error: ValidationError) -> str:
    """Name each wrong field and what is wrong with it, without its value."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'input'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _as_variables(returned: object) -> Mapping[str, object]:
    match returned:
        case None:
            return {}
        case BaseModel():
            return returned.model_dump()
        case Mapping():
            return with_references_written(returned)
    raise PermanentError(f"the task returned a {type(returned).__name__}, expected a model or a mapping", code="RESULT")


def _traceback(error: BaseException) -> str:
    """Return where it happened; messages of causes are left out, since they may quote variables or secrets."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{type(error).__name__} in"] + [f"  {f.filename}:{f.lineno} {f.name}: {f.line}" for f in frames]
    return "\n".join(lines)[-LONGEST_TRACEBACK:]
