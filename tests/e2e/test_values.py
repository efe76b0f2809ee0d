"""Variables make the round trip engine, bridge, Celery worker and back with type and value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DATE = "2026-11-23T04:05:06.789+0000"
LONG = "x" * 3_999 + "é\U0001f40d"

CASES = [
    ("text", {"type": "String", "value": "grüße"}, "String", "grüße"),
    ("yes", {"type": "Boolean", "value": True}, "Boolean", True),
    ("small", {"type": "Integer", "value": -(2**31)}, "Integer", -(2**31)),
    ("large", {"type": "Long", "value": 2**31}, "Long", 2**31),
    ("largest", {"type": "Long", "value": 2**63 - 1}, "Long", 2**63 - 1),
    ("half", {"type": "Double", "value": 0.5}, "Double", 0.5),
    ("nothing", {"type": "Null", "value": None}, "Null", None),
    ("day", {"type": "Date", "value": DATE}, "Date", DATE),
    ("list", {"type": "Json", "value": '[1, {"a": null}]'}, "Json", '[1, {"a": null}]'),
]


@pytest.fixture(scope="module")
def returned(stack: Any, eventually: Callable[..., None]) -> dict[str, Any]:
    instance_id = stack.start("sample_values", **{name: sent for name, sent, _, _ in CASES})
    eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the values back")
    return dict(stack.variables(instance_id))


class TestValues:
    @pytest.mark.parametrize(("name", "_sent", "kind", "value"), CASES, ids=[case[0] for case in CASES])
    def test_come_back_with_type_and_value(
        self, returned: dict[str, Any], name: str, _sent: object, kind: str, value: object
    ) -> None:
        back = returned[f"{name}_back"]
        assert (back["type"], back["value"]) == (kind, value)

    def test_over_four_thousand_characters_come_back_as_a_java_string(
        self, stack: Any, eventually: Callable[..., None]
    ) -> None:
        info = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
        sent = {"type": "Object", "value": json.dumps(LONG), "valueInfo": info}
        instance_id = stack.start("sample_values", long=sent)
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the long text back")
        back = stack.variables(instance_id)["long_back"]
        assert back["type"] == "Object"
        assert json.loads(back["value"]) == LONG
