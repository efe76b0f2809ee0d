"""A fetch brings just the variables its task reads: routes name them, since the bridge knows no input model."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, get_type_hints

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from procos.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from procos.domain.external_task import Topic


def input_model(topic: Topic) -> type[BaseModel]:
    function = getattr(importlib.import_module(ROUTES[topic].module), topic)
    first = next(iter(inspect.signature(function).parameters))
    model: object = get_type_hints(function)[first]
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def read_by(model: type[BaseModel]) -> set[str] | None:
    """Return the names of the variables a model is filled from, None if it takes all there are."""
    if model.model_config.get("extra") == "allow":
        return None
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    return {
        each
        for name, field in model.model_fields.items()
        for each in (*_aliases(field), *([name] if by_name or field.validation_alias is None else []))
    }


def _aliases(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        if choice is not None:
            yield str(choice.path[0]) if isinstance(choice, AliasPath) else choice


class TestRoutes:
    @pytest.mark.parametrize("topic", ROUTES)
    def test_name_just_the_variables_their_task_reads(self, topic: Topic) -> None:
        named, read = ROUTES[topic].variables, read_by(input_model(topic))
        if read is None:
            assert named is None, "the task takes every variable there is"
        else:
            assert named is not None, f"the task reads no more than {sorted(read)}"
            assert sorted(named) == sorted(read)


class TestReading:
    """What the case above looks at is itself looked at, since few of the built-in models need it."""

    def test_is_by_alias_where_there_is_one(self) -> None:
        class Renamed(BaseModel):
            plain: int
            other: int = Field(alias="otherName")
            either: int = Field(validation_alias=AliasChoices("one", AliasPath("two", "inner")))

        assert read_by(Renamed) == {"plain", "otherName", "one", "two"}

    def test_is_by_both_where_the_model_says_so(self) -> None:
        class Both(BaseModel):
            model_config = ConfigDict(populate_by_name=True)
            other: int = Field(alias="otherName")

        assert read_by(Both) == {"other", "otherName"}

    def test_is_of_everything_where_extra_fields_are_kept(self) -> None:
        class Open(BaseModel):
            model_config = ConfigDict(extra="allow")
            one: int

        assert read_by(Open) is None
