from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from procos.models import read_model

if TYPE_CHECKING:
    import pytest

SAMPLE = Path(__file__).parents[2] / "samples" / "models" / "sample_noop.bpmn"


class TestModel:
    def test_is_named_after_its_folder_also_from_inside_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "greeting"
        folder.mkdir()
        (folder / "model.bpmn").write_bytes(SAMPLE.read_bytes())
        monkeypatch.chdir(folder)
        assert read_model(Path("model.bpmn"), known_topics=["sample_noop"]).name == "greeting"
        assert read_model(folder / "model.bpmn", known_topics=["sample_noop"]).name == "greeting"
