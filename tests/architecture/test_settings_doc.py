"""docs/settings.md names every setting and alias there is, with its default, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procos.environment_names import ALIASES
from procos.settings import known_names

TEXT = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    row[1]: row[0] for row in re.finditer(r"^\| `(PROCOS_[A-Z_]+)` \|.*\|$", TEXT, flags=re.MULTILINE)
}  # by name, the whole line


class TestSettingsDocument:
    def test_has_one_row_for_every_setting_and_no_other(self) -> None:
        assert set(ROWS) == known_names()

    @pytest.mark.parametrize("name", sorted(known_names()))
    def test_has_default_and_meaning_of(self, name: str) -> None:
        cells = [cell.strip() for cell in ROWS[name].strip("|").split("|")]
        assert len(cells) == 4
        assert cells[1]
        assert cells[2]

    @pytest.mark.parametrize("name", sorted(known_names()))
    def test_has_the_aliases_of(self, name: str) -> None:
        listed = ROWS[name].strip("|").split("|")[3]
        assert re.findall(r"`([A-Z_]+)`", listed) == list(ALIASES.get(name, ()))
