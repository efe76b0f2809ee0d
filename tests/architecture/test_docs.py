"""The examples of the documents are those that run: quoted code stands in the file it names, doctests pass."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

QUOTES = [
    pytest.param(ROOT / path, part, id=f"{document.name}-{path}-{number}")
    for document in DOCUMENTS
    for path, block in BLOCK.findall(document.read_text(encoding="utf-8"))
    for number, part in enumerate(block.strip("\n").split("\n\n"))
]


class TestQuotedCode:
    @pytest.mark.parametrize(("source", "part"), QUOTES)
    def test_stands_in_the_file_it_names(self, source: Path, part: str) -> None:
        assert part in source.read_text(encoding="utf-8")

    def test_is_there_at_all(self) -> None:
        assert QUOTES


class TestDoctests:
    @pytest.mark.parametrize("document", ["writing-tasks.md", "prompts.md"])
    def test_pass(self, document: str) -> None:
        outcome = doctest.testfile(str(ROOT / "docs" / document), module_relative=False)
        assert outcome.attempted > 0
        assert outcome.failed == 0


class TestLinks:
    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
    def test_lead_to_files_that_are_there(self, document: Path) -> None:
        links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]
        missing = [link for link in links if not (document.parent / link).exists()]
        assert missing == []
