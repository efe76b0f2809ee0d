"""The examples of docs/mapping.md do what their comments say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks.mapping.expressions import evaluate

PAGE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text("utf-8")
BLOCK = re.compile(r"^```jsonata\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"/\* (.*?)\s+becomes (.*?) \*/\n", re.DOTALL)
EXAMPLES = BLOCK.findall(PAGE)


class TestExample:
    @pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
    def test_becomes_what_its_comment_says(self, example: str) -> None:
        comment = COMMENT.match(example)
        assert comment, "it does not say what it sees, and what becomes of it"
        seen, becomes = json.loads(comment[1]), comment[2]
        is_of_an_error = "error" in seen
        found = evaluate("the example", example, seen, judges=is_of_an_error)
        assert found == evaluate("its comment", becomes, seen, judges=is_of_an_error)
        assert (found.verdict is not None) is is_of_an_error

    def test_is_there_for_every_function(self) -> None:
        assert all(f"becomes ${name}" in PAGE for name in ("bpmnError", "jobError", "ignoreError"))
