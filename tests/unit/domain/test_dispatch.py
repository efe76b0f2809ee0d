"""The dispatch on the wire: it comes back as it went, and anything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.utils import json as wire

from procos.domain.dispatch import Dispatch, DispatchRef
from procos.domain.errors import DispatchError
from procos.domain.mapping import OutputMapping
from procos.testing import dispatch_ref


class TestDispatchRef:
    @pytest.mark.parametrize("retries", [None, 0, 2])
    def test_comes_back_as_it_went(self, retries: int | None) -> None:
        ref = dispatch_ref(retries=retries)
        assert DispatchRef.from_json(wire.loads(wire.dumps(ref.to_json()))) == ref

    def test_gives_every_publication_of_one_fetch_the_same_celery_id(self) -> None:
        assert dispatch_ref("a", token=1).celery_id == dispatch_ref("a", token=1, holder="other/ai").celery_id
        assert dispatch_ref("a", token=1).celery_id != dispatch_ref("a", token=2).celery_id

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"v": 2}, "version 2"),
            ({"v": None}, "version None"),
            ({"id": ""}, "'id'"),
            ({"id": 5}, "'id'"),
            ({"id": "../../process-instance/1"}, "'id'"),
            ({"id": ".."}, "'id'"),
            ({"id": "t/unlock"}, "'id'"),
            ({"id": "t?x=1"}, "'id'"),
            ({"id": "t\n"}, "'id'"),
            ({"id": "tâche"}, "'id'"),
            ({"id": "t" * 256}, "'id'"),
            ({"instance": "a b"}, "'instance'"),
            ({"instance": "%2e%2e"}, "'instance'"),
            ({"token": "1000"}, "'token'"),
            ({"token": True}, "'token'"),
            ({"token": 10**400}, r"'token' is 10{59}, expected"),
            ({"holder": None}, "'holder'"),
            ({"retries": "2"}, "'retries'"),
            ({"retries": False}, "'retries'"),
        ],
    )
    def test_refuses_a_wrong_field_and_names_it(self, change: dict[str, Any], named: str) -> None:
        with pytest.raises(DispatchError, match=named):
            DispatchRef.from_json({**dispatch_ref().to_json(), **change})

    @pytest.mark.parametrize("engine_id", ["8f1b7c1e-63ef-11ee-8c99-0242ac120002", "42", "key:3:a.b_c", "t" * 255])
    def test_takes_the_ids_engines_make(self, engine_id: str) -> None:
        ref = DispatchRef.from_json({**dispatch_ref().to_json(), "id": engine_id, "instance": engine_id})
        assert (ref.external_task_id, ref.process_instance_id) == (engine_id, engine_id)

    def test_shows_no_more_than_the_beginning_of_what_is_wrong(self) -> None:
        with pytest.raises(DispatchError) as refusal:
            DispatchRef.from_json({**dispatch_ref().to_json(), "id": "/" * 10_000_000})
        assert len(str(refusal.value)) < 200

    @pytest.mark.parametrize("source", [None, [], "text", 7])
    def test_refuses_what_is_no_object(self, source: object) -> None:
        with pytest.raises(DispatchError, match="JSON object"):
            DispatchRef.from_json(source)


class TestDispatch:
    def test_comes_back_as_it_went(self) -> None:
        dispatch = Dispatch(ref=dispatch_ref(), variables={"user_query": "hi", "n": None}, business_key="order 1")
        assert Dispatch.from_kwargs(wire.loads(wire.dumps(dispatch.to_kwargs()))) == dispatch

    @pytest.mark.parametrize(
        "mapping",
        [
            OutputMapping(result_variable="reply"),
            OutputMapping(result_expression="{'a': b}", error_expression=""),
            OutputMapping(result_variable="", result_expression="", error_expression="$bpmnError('X')"),
        ],
    )
    def test_brings_what_the_model_says_of_the_output(self, mapping: OutputMapping) -> None:
        dispatch = Dispatch(ref=dispatch_ref(), variables={}, mapping=mapping)
        assert Dispatch.from_kwargs(wire.loads(wire.dumps(dispatch.to_kwargs()))) == dispatch

    def test_is_no_longer_where_the_model_says_nothing(self) -> None:
        dispatch = Dispatch(ref=dispatch_ref(), variables={})
        assert dispatch.to_kwargs().keys() == {"dispatch", "variables", "business_key"}

    @pytest.mark.parametrize(
        "mapping", ["text", ["x"], {"resultVariable": 5}, {"errorExpression": None}, {"resultExpression": "1" * 10_001}]
    )
    def test_refuses_a_mapping_that_is_none(self, mapping: object) -> None:
        kwargs = Dispatch(ref=dispatch_ref(), variables={}).to_kwargs()
        with pytest.raises(DispatchError):
            Dispatch.from_kwargs({**kwargs, "mapping": mapping})

    def test_names_constants_where_there_are_some(self) -> None:
        dispatch = Dispatch(ref=dispatch_ref(), variables={"token": "{{secrets.X}}"}, constants=("token",))
        assert Dispatch.from_kwargs(wire.loads(wire.dumps(dispatch.to_kwargs()))) == dispatch
        assert "constants" not in Dispatch(ref=dispatch_ref(), variables={}).to_kwargs()

    @pytest.mark.parametrize("constants", ["token", [1], {"token": 1}])
    def test_refuses_constants_that_are_no_names(self, constants: object) -> None:
        kwargs = {**Dispatch(ref=dispatch_ref(), variables={}).to_kwargs(), "constants": constants}
        with pytest.raises(DispatchError, match="constants"):
            Dispatch.from_kwargs(kwargs)

    @pytest.mark.parametrize("kwargs", [{}, {"dispatch": dispatch_ref().to_json()}, {"variables": {}}])
    def test_refuses_arguments_that_lack_a_part(self, kwargs: dict[str, object]) -> None:
        with pytest.raises(DispatchError):
            Dispatch.from_kwargs(kwargs)
