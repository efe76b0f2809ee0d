"""A file goes from engine to worker and comes back as another; what is too large for a variable is kept apart."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES = b"line\n" * 100_000
SCAN = {
    "type": "File",
    "value": base64.b64encode(LINES).decode(),
    "valueInfo": {"filename": "scan.txt", "mimeType": "text/plain"},
}


class TestFile:
    def test_comes_back_as_another(self, stack: Any, eventually: Callable[..., None]) -> None:
        notes = {"type": "String", "value": "read twice"}
        instance_id = stack.start("sample_scan", scan=SCAN, notes=notes)
        eventually(lambda: stack.finished([instance_id]) == 1, seconds=30, what="the report")
        found = stack.variables(instance_id)
        assert found["lines"]["value"] == 100_000
        assert (found["report"]["type"], found["report"]["valueInfo"]["filename"]) == ("File", "report.txt")
        address = f"{stack.rest}/history/variable-instance/{found['report']['id']}/data"
        assert requests.get(address, timeout=20).content == b"scan.txt: 100000 lines\nread twice"


class TestLargeValue:
    def test_is_kept_apart_and_found_until_it_is_pruned(self, stack: Any, tmp_path: Path) -> None:
        file = tmp_path / "variables.json"
        file.write_text(json.dumps({"rows": [{"n": number, "text": "x" * 100} for number in range(5_000)]}))
        ended = stack.run("sample_values", "--vars-file", str(file))
        kept = ended["variables"]["rows_back"]
        assert (kept["procos_blob"], kept["media_type"]) == (1, "application/json")

        held = json.loads(stack.procos("blobs", "--json").stdout)
        assert kept["size"] in [each["bytes"] for each in held]
        instance_id = kept["key"].partition("/")[0]
        assert instance_id in [each["process_instance_id"] for each in held]
        assert stack.procos("blobs", "prune", "--older-than", "1").returncode == 0
        pruned = stack.procos("blobs", "prune", "--older-than", "0", "--json")
        assert instance_id in [each["process_instance_id"] for each in json.loads(pruned.stdout)]
        assert instance_id not in stack.procos("blobs").stdout
