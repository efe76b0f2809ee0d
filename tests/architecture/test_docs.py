"""The examples of the documents are those that run: quoted code stands in the file it names, doctests pass."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([
    *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"),
    *(page for folder in ("deploy", "examples", "processes") for page in ROOT.glob(f"{folder}/*/README.md")),
])  # fmt: skip
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)

QUOTES = [
    pytest.param(ROOT / path, part, id=f"{document.name}-{path}-{number}")
    for document in DOCUMENTS
    for path, block in BLOCK.findall(document.read_text(encoding="utf-8"))
    for number, part in enumerate(block.strip("\n").split("\n\n"))
]


def links(document: Path) -> list[tuple[str, str]]:
    """Return file and anchor of each link to another place of ours; no file means the same document."""
    found = LINK.findall(document.read_text(encoding="utf-8"))
    return [(file, anchor) for file, anchor in found if "://" not in file]


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are linked by, as GitHub names them: later ones of one name get a number."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


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
        missing = [file for file, _ in links(document) if not (document.parent / file).exists()]
        assert missing == []

    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
    def test_lead_to_headings_that_are_there(self, document: Path) -> None:
        sought = {(document.parent / file if file else document, anchor) for file, anchor in links(document) if anchor}
        missing = [f"{page.name}#{anchor}" for page, anchor in sought if anchor not in anchors(page)]
        assert missing == []

    def test_are_to_headings_as_they_are_shown(self) -> None:
        assert "what-happens-when-something-dies" in anchors(ROOT / "ARCHITECTURE.md")
