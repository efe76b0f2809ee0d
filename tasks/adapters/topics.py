"""Topics made from adapters: what a step may say is what the operations of its service take.

    class ChatStep(step_of(Chat, default="send_message")):
        \"\"\"Send a message.\"\"\"

A step names a connection and an operation, and beside them whatever its operations take, each under its own name. What
fits is the operation's own model to say, and only of what that operation takes: a variable that happens to have the
name of another operation's parameter is nobody's business.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, create_model, model_serializer
from pydantic_core import PydanticUndefined

from procos.logs import get_logger
from tasks.adapters.calling import called, service_of
from tasks.secrets.connections import LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from tasks.adapters.adapter import Adapter, Operation
    from tasks.context import TaskContext

log = get_logger(__name__)


class Step(BaseModel):
    """What every step of such a topic says."""

    model_config = ConfigDict(hide_input_in_errors=True)

    connection: str
    operation: str

    def parameters_for(self, operation: Operation) -> dict[str, object]:
        """Return what was given of what an operation takes; null counts as absent."""
        named = operation.parameters.model_fields.keys() & self.model_fields_set
        return {name: value for name in sorted(named) if (value := getattr(self, name)) is not None}


class Outcome(BaseModel):
    """What comes of a step: the result of its operation, and nothing of what other operations would have given."""

    @model_serializer
    def _as_set(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def step_of(adapter: type[Adapter], *, default: str) -> type[Step]:
    """Return the base of a topic's input model; `default` is the operation where a step names none."""
    operations = adapter.operations()
    own: dict[str, Any] = {
        "connection": (str, Field(adapter.name, description="Name of the connection", max_length=LONGEST_NAME)),
        "operation": (Literal[tuple(operations)], Field(default, description="What is to be done")),
    }
    in_order = sorted(operations.values(), key=lambda each: each.name != default)
    found = _fields([(each.name, each.parameters) for each in in_order])
    return create_model(f"{adapter.__name__}Step", __base__=Step, **own, **found)


def outcome_of(adapter: type[Adapter]) -> type[Outcome]:
    """Return the base of a topic's output model."""
    found = _fields([(each.name, each.result) for each in adapter.operations().values()])
    return create_model(f"{adapter.__name__}Outcome", __base__=Outcome, **found)


def done(adapter: type[Adapter], step: Step, context: TaskContext) -> Mapping[str, object]:
    """Do what a step says, and return what came of it.

    Raises:
        TaskError: as `tasks.adapters.calling.called`.
        StepCancelled: nobody waits for it any more; nothing was done.
    """
    operation = adapter.operation_of(step.operation)
    found = service_of(adapter, step.connection, context)
    context.raise_if_cancelled()
    log.info("service.called", connection=step.connection, operation=operation.name)
    return called(found, operation.name, step.parameters_for(operation), context)


def _fields(models: Sequence[tuple[str, type[BaseModel]]]) -> dict[str, Any]:
    """Return the fields of all models, each optional, and unchecked: their own models check them.

    Raises:
        TypeError: two models mean different things by one name, of which a step could say only one.
    """
    known: dict[str, FieldInfo] = {}
    users: dict[str, list[str]] = {}
    for operation, model in models:
        for name, field in model.model_fields.items():
            first = known.setdefault(name, field)
            users.setdefault(name, []).append(operation)
            if _kind(first) != _kind(field):
                raise TypeError(f"{name}: means different things to {' and '.join(users[name])}")
    names = {name: "" if len(of) == len(models) else f" ({', '.join(of)})" for name, of in users.items()}
    return {name: _optional(field, names[name]) for name, field in known.items()}


def _optional(field: FieldInfo, of: str) -> Any:
    default = None if field.default is PydanticUndefined else field.default
    text = (field.description or "").rstrip(".") + of
    made: Any = SkipValidation  # mypy takes it for a type of its own
    bounds = [
        bound for each in get_args(field.annotation) if get_origin(each) is Annotated for bound in get_args(each)[1:]
    ]
    return Annotated[(_kind(field), *bounds, *field.metadata, made())], Field(default, description=text)


def _kind(field: FieldInfo) -> Any:
    """Return what a field holds, apart from None and from bounds."""
    annotation = field.annotation
    if get_origin(annotation) not in {Union, UnionType}:
        return annotation
    kinds = [get_args(each)[0] if get_origin(each) is Annotated else each for each in get_args(annotation)]
    kept = tuple(each for each in kinds if each is not NoneType)
    return Union[kept]  # noqa: UP007  # made as it runs
