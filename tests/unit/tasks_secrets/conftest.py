"""Settings with secrets, a folder of mounted ones, and the context of a step that may name some."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from procos.domain.external_task import ExternalTaskId, ProcessInstanceId, Topic
from procos.settings import Settings, load_settings
from tasks.context import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPIC = "http_request"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of mounted secrets."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


@pytest.fixture
def connection_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "connections"
    folder.mkdir()
    return folder


@pytest.fixture
def settings_with(folder: Path, connection_folder: Path) -> Callable[..., Settings]:
    """Return a builder of settings; they know both folders."""

    def build(**environ: str) -> Settings:
        folders = {
            "PROCOS_SECRETS_DIRECTORY": str(folder),
            "PROCOS_CONNECTION_DIRECTORY": str(connection_folder),
        }
        return load_settings({**folders, **environ}, dotenv=None)

    return build


@pytest.fixture
def context_with() -> Callable[..., TaskContext]:
    """Return a builder of contexts; `constants` are variables of the step and their texts."""

    def build(settings: Settings, **constants: str) -> TaskContext:
        return TaskContext(
            external_task_id=ExternalTaskId("task-1"),
            process_instance_id=ProcessInstanceId("instance-1"),
            business_key=None,
            topic=Topic(TOPIC),
            celery_id="celery-1",
            settings=settings,
            deadline=time.monotonic() + 60,
            constants=constants,
        )

    return build
