from __future__ import annotations

import json
from types import SimpleNamespace

from procos.app import app
from procos.worker import Request

SHOWN = "{'process_instance_id': 'p'}"
HEADERS = {"id": "1", "task": "celery.ping", "lang": "py", "argsrepr": "()", "kwargsrepr": SHOWN, "root_id": "1"}


class TestRequest:
    def test_shows_inspect_the_ids_and_never_the_variables(self) -> None:
        body = json.dumps([[], {"variables": {"note": "hunter2"}}, {}])
        message = SimpleNamespace(
            headers=HEADERS,
            properties={},
            delivery_info={},
            body=body,
            payload=json.loads(body),
            content_type="application/json",
            content_encoding="utf-8",
        )
        task = next(iter(app.tasks.values()))
        shown = Request(message, app=app, task=task, body=body).info()
        assert "hunter2" not in repr(shown)
        assert "process_instance_id" in repr(shown["kwargs"])
