"""The functions that serve topics, and what they say of themselves: their input and output models."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel

from procos.domain.errors import UnknownTopicError
from procos.routes import routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.domain.external_task import Topic

_known: dict[tuple[Topic, str], Callable[..., Any]] = {}
"""By topic and module, since a test may register a function of its own for a topic."""


def added(topic: Topic, function: Callable[..., Any]) -> type[BaseModel]:
    """Remember the function of a topic; returns its input model.

    Raises:
        TypeError: the first parameter is not annotated with a pydantic model.
    """
    model = _input_model(function)
    _known[topic, function.__module__] = function
    return model


def models_of(topic: Topic) -> tuple[type[BaseModel], type[BaseModel] | None]:
    """Return the input model of a topic's task and, where it declares one, its output model.

    Raises:
        UnknownTopicError: no route serves the topic, or its module registers no task for it.
    """
    route = routes().get(topic)
    if route is not None:
        importlib.import_module(route.module)
    function = _known.get((topic, route.module)) if route is not None else None
    if function is None:
        raise UnknownTopicError(topic, [str(known) for known in routes()])
    returned = get_type_hints(function).get("return")
    is_model = isinstance(returned, type) and issubclass(returned, BaseModel)
    return _input_model(function), returned if is_model else None


def _input_model(function: Callable[..., Any]) -> type[BaseModel]:
    parameters = list(inspect.signature(function).parameters)
    annotation = get_type_hints(function).get(parameters[0]) if parameters else None
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"{function.__name__}: the first parameter must be annotated with a pydantic model")
    return annotation
