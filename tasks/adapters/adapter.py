"""The interface of service adapters: operations a process may call, and a look at whether the service is there.

    class Chat(Adapter):
        name = "chat"
        connection = ChatConnection

        @operation()
        def send_message(self, message: Message, call: Call) -> Sent: ...

A connection of the operator's names its adapter by `type`: PROCOS_CONNECTIONS__TEAM__TYPE=chat. Each operation is a
method between two pydantic models, from which documentation, element templates and checks are made.
"""

from __future__ import annotations

import difflib
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from procos.domain.errors import BusinessError

if TYPE_CHECKING:
    from tasks.blobs import StepBlobs

INVALID_INPUT = "INVALID_INPUT"

Method = TypeVar("Method", bound=Callable[..., BaseModel])


class Connection(BaseModel):
    """What an operator says of a service; adapters add the fields they need, each with a docstring below it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    type: str
    """The name of its adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How long one call may take, and what names it to services that refuse doubles."""

    deadline: float
    """A moment of the monotonic clock."""
    idempotency_key: str
    """The same for every call of one step."""

    def remaining(self) -> float:
        """Seconds that are left; never negative."""
        return max(self.deadline - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a look at a service found."""

    is_well: bool
    detail: str
    """Who and where it is, or why it is not well; free of secrets."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing a service does."""

    name: str
    summary: str
    parameters: type[BaseModel]
    result: type[BaseModel]
    is_repeatable: Callable[[BaseModel], bool]
    """Whether doing it twice with these parameters is as good as doing it once."""

    def schema(self) -> dict[str, Any]:
        """Return what it takes and gives, as JSON Schemas (2020-12)."""
        return {
            "summary": self.summary,
            "parameters": self.parameters.model_json_schema(),
            "result": self.result.model_json_schema(mode="serialization"),
        }


def operation(*, repeatable: bool | Callable[[Any], bool] = False) -> Callable[[Method], Method]:
    """Make a method of an adapter an operation: `method(self, parameters: Model, call: Call) -> Model`.

    Args:
        repeatable: whether doing it twice is as good as doing it once, or how to tell from the parameters.
    """

    def mark(method: Method) -> Method:
        marked: Any = method
        marked.procos_repeatable = repeatable if callable(repeatable) else lambda _: repeatable
        return method

    return mark


class Adapter(ABC):
    """A service behind its operations; made anew for a step, so what is dear to make belongs in a cache of its own."""

    name: ClassVar[str]
    """What connections of this kind have as their `type`."""
    connection: ClassVar[type[Connection]]

    def __init__(self, connection: Any, *, blobs: StepBlobs | None = None) -> None:
        """Take an instance of `connection`, and the step's store of files where there is a step."""
        self._connection, self._blobs = connection, blobs

    @classmethod
    def operations(cls) -> Mapping[str, Operation]:
        """Return what the service does, by name."""
        return _operations(cls)

    def call_service(
        self, operation: str, parameters: Mapping[str, object], *, deadline: float, idempotency_key: str
    ) -> Mapping[str, object]:
        """Do one operation, and return what came of it.

        Args:
            operation: its name; see `operations`.
            parameters: the fields of its parameters.
            deadline: the moment of the monotonic clock at which it is given up.
            idempotency_key: the same for every call that means the same deed.

        Raises:
            BusinessError: INVALID_INPUT for an unknown operation or wrong parameters, or a no of the service.
            TransientError: the service is not there now, and nothing was done.
            RateLimited: it asks for patience.
            PermanentError: an operator must act; OUTCOME_UNKNOWN where nobody knows whether it was done.
        """
        chosen = self.operation_of(operation)
        wanted = validated(chosen, parameters)
        result: BaseModel = getattr(self, chosen.name)(wanted, Call(deadline=deadline, idempotency_key=idempotency_key))
        return result.model_dump()

    @classmethod
    def operation_of(cls, name: str) -> Operation:
        """Return an operation.

        Raises:
            BusinessError: INVALID_INPUT, with the operations there are.
        """
        known = cls.operations()
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BusinessError(
            INVALID_INPUT, f"operation: {cls.name} has no such operation; known: {', '.join(known)}{hint}"
        )

    def is_repeatable(self, operation: Operation, parameters: BaseModel) -> bool:
        """Whether doing an operation twice is as good as once; a connection may know more than the parameters tell."""
        return operation.is_repeatable(parameters)

    @abstractmethod
    def health_check(self) -> Health:
        """Look whether the service is there and lets us in: one cheap call that changes nothing, within seconds."""


def validated(operation: Operation, parameters: Mapping[str, object]) -> BaseModel:
    """Return the parameters of an operation as its model.

    Raises:
        BusinessError: INVALID_INPUT, naming each wrong field without its value.
    """
    try:
        return operation.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        text = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'parameters'}: {each['msg']}" for each in problems)
        raise BusinessError(INVALID_INPUT, text) from error


@cache
def _operations(adapter: type[Adapter]) -> Mapping[str, Operation]:
    methods = inspect.getmembers(adapter, lambda member: hasattr(member, "procos_repeatable"))
    return {name: _operation(name, method) for name, method in methods}


def _operation(name: str, method: Any) -> Operation:
    hints, (_self, parameters, *_) = get_type_hints(method), inspect.signature(method).parameters
    return Operation(
        name=name,
        summary=(method.__doc__ or "").strip().partition("\n")[0],
        parameters=hints[parameters],
        result=hints["return"],
        is_repeatable=method.procos_repeatable,
    )
