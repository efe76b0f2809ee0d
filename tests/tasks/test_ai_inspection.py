"""What is wrong with the settings of AI steps is known before one of them needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.settings import load_settings
from tasks.ai.inspection import faults_of_ai

if TYPE_CHECKING:
    from pathlib import Path

OPENAI = {"PROCOS_OPENAI_API_KEY": "key"}
NAMED = {"PROCOS_PROVIDERS__X__URL": "https://x", "PROCOS_PROVIDERS__X__MODEL": "m"}


class TestFaults:
    def test_are_none_where_all_is_well(self) -> None:
        settings = load_settings(OPENAI | NAMED | {"PROCOS_AI_FALLBACK": "x,openai"}, dotenv=None)
        assert list(faults_of_ai(settings)) == []

    @pytest.mark.parametrize(
        ("environ", "said"),
        [
            ({"PROCOS_AI_FALLBACK": "opnai"}, "did you mean openai?"),
            ({"PROCOS_AI_FALLBACK": "ollama"}, "set PROCOS_OLLAMA_URL"),
            (NAMED | {"PROCOS_PROVIDERS__X__KIND": "telepathy"}, "of kind 'telepathy'"),
            ({"PROCOS_AI_POLICY": "/no/such/policy.json"}, "PROCOS_AI_POLICY, policy.json: cannot be read"),
            ({"PROCOS_AI_TEMPLATES": "/no/such/folder"}, "PROCOS_AI_TEMPLATES is '/no/such/folder'"),
        ],
    )
    def test_name_the_setting(self, environ: dict[str, str], said: str) -> None:
        (fault,) = faults_of_ai(load_settings(OPENAI | environ, dotenv=None))
        assert said in fault

    def test_are_found_in_templates_of_the_house(self, tmp_path: Path) -> None:
        (tmp_path / "odd.md.j2").write_text("no head")
        settings = load_settings(OPENAI | {"PROCOS_AI_TEMPLATES": str(tmp_path)}, dotenv=None)
        (fault,) = faults_of_ai(settings)
        assert "prompt template 'odd'" in fault
