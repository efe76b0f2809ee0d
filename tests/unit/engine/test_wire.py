"""The JSON shapes of the external-task API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from procos.domain.errors import EngineMisconfiguredError, VariableError
from procos.domain.external_task import Topic
from procos.domain.variables import TypedValue
from procos.engine.subscription import Subscription
from procos.engine.wire import external_task_from_json, topic_to_json, variables_to_json

ANSWER: dict[str, Any] = {
    "id": "t1",
    "topicName": "ai_query",
    "workerId": "bridge/ai",
    "lockExpirationTime": "2026-11-23T04:05:00.250+0000",
    "createTime": "2026-11-23T04:00:00.000+0000",
    "retries": None,
    "suspended": False,
    "priority": 7,
    "businessKey": "order 1",
    "activityId": "ask",
    "processInstanceId": "p1",
    "processDefinitionKey": "sample",
    "variables": {"user_query": {"type": "String", "value": "hi", "valueInfo": {}}},
    "extensionProperties": {"RETRY_CONFIG": "R3/PT5M"},
    "somethingNew": 1,
}


class TestExternalTaskFromJson:
    def test_reads_what_a_fetch_brings(self) -> None:
        task = external_task_from_json(ANSWER)
        assert task.lease is not None
        assert task.lease.holder == "bridge/ai"
        assert task.lease.expires == datetime(2026, 11, 23, 4, 5, 0, 250_000, tzinfo=UTC)
        assert task.lease.token == 1795406700250
        assert (task.retries, task.priority, task.business_key) == (None, 7, "order 1")
        assert task.variables == {"user_query": TypedValue(type="String", value="hi")}
        assert task.extension_properties == {"RETRY_CONFIG": "R3/PT5M"}

    @pytest.mark.parametrize("missing", ["workerId", "lockExpirationTime"])
    def test_reads_a_task_nobody_holds(self, missing: str) -> None:
        assert external_task_from_json({**ANSWER, missing: None}).lease is None

    @pytest.mark.parametrize("missing", ["id", "topicName", "processInstanceId", "activityId"])
    def test_says_which_field_is_missing(self, missing: str) -> None:
        with pytest.raises(EngineMisconfiguredError, match=missing):
            external_task_from_json({name: value for name, value in ANSWER.items() if name != missing})

    @pytest.mark.parametrize(
        "source", [None, "text", {**ANSWER, "variables": ["x"]}, {**ANSWER, "variables": {"x": 1}}]
    )
    def test_refuses_what_is_no_external_task(self, source: Any) -> None:
        with pytest.raises(EngineMisconfiguredError):
            external_task_from_json(source)


class TestTopicToJson:
    def test_never_asks_the_engine_to_deserialise(self) -> None:
        topic = topic_to_json(Subscription(topic=Topic("t"), lock_duration=timedelta(seconds=1.5), variables=("a",)))
        assert topic == {
            "topicName": "t",
            "lockDuration": 1500,
            "deserializeValues": False,
            "includeExtensionProperties": True,
            "variables": ["a"],
        }

    def test_asks_for_all_variables_by_naming_none(self) -> None:
        assert "variables" not in topic_to_json(Subscription(topic=Topic("t"), lock_duration=timedelta(seconds=1)))


class TestVariablesToJson:
    def test_types_every_value(self) -> None:
        written = variables_to_json({"n": 1, "s": {"a": 1}}, json_type=True)
        assert written == {
            "n": {"type": "Integer", "value": 1, "valueInfo": {}},
            "s": {"type": "Json", "value": '{"a": 1}', "valueInfo": {}},
        }

    def test_names_the_variable_that_cannot_be_written(self) -> None:
        with pytest.raises(VariableError, match="'bad'"):
            variables_to_json({"good": 1, "bad": object()}, json_type=True)
