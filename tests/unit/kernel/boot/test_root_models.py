from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import ModelError
from procos.engine.processes import Definition
from procos.kernel.boot.root_models import deploy_all, root_models
from procos.shipped import SYSTEM_PROCESSES, shipped_processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from procos.engine.processes import ModelFile


@dataclass
class FakeProcesses:
    """Makes a version of what it has not seen."""

    known: set[bytes] = field(default_factory=set)

    def deploy(self, name: str, models: Sequence[ModelFile]) -> Sequence[Definition]:
        fresh = [model for model in models if model.content not in self.known]
        self.known.update(model.content for model in models)
        return [Definition(key=name, version=1, id=f"{name}:1") for _ in fresh]


class TestRootModels:
    def test_are_those_of_the_system_where_there_is_no_folder(self, tmp_path: Path) -> None:
        models = root_models(tmp_path / "nothing")

        assert tuple(model.keys[0] for model in models) == SYSTEM_PROCESSES

    def test_are_the_users_too_each_once(self) -> None:
        keys = [key for model in root_models(shipped_processes()) for key in model.keys]

        assert len(keys) == len(set(keys))
        assert {*SYSTEM_PROCESSES, "ai_query_process"} <= set(keys)

    def test_refuse_a_broken_model_of_the_user(self, tmp_path: Path) -> None:
        (tmp_path / "broken.bpmn").write_text("<definitions", "utf-8")

        with pytest.raises(ModelError, match="not well-formed"):
            root_models(tmp_path)


class TestDeployAll:
    def test_says_what_is_new_and_makes_nothing_new_twice(self, tmp_path: Path) -> None:
        engine: Any = FakeProcesses()
        models = root_models(tmp_path)

        assert deploy_all(engine, models) == (
            "3 models, new: procos_system_orchestrator 1, procos_system_shutdown 1, procos_user_request 1"
        )
        assert deploy_all(engine, models) == "3 models, none has changed"
