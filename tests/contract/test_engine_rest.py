"""What a real engine says when address, credentials, models or messages are wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import (
    EngineDeniedError,
    EngineMisconfiguredError,
    EngineUnreachableError,
    ModelError,
    UsageError,
)
from procos.engine.http import HttpEngine
from procos.engine.processes import ModelFile
from procos.engine.subscription import Subscription
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from procos.settings import Settings
    from tests.contract.engine_labs import RealLab


def at(settings: Settings, **changes: object) -> HttpEngine:
    return HttpEngine(Transport(EngineSettings.model_validate({**settings.engine.model_dump(), **changes})))


class TestAddress:
    def test_that_is_right_names_the_version(self, engine_settings: Settings) -> None:
        assert re.fullmatch(r"7\.\d+\.\d+", at(engine_settings).version())

    def test_of_one_engine_by_name_works_too(self, engine_settings: Settings) -> None:
        assert at(engine_settings, url=f"{engine_settings.engine.url}/engine/default").open_topics() is not None

    @pytest.mark.parametrize("path", ["/wrong", "/camunda", "/engine-rest/engine/nobody"])
    def test_that_is_wrong_is_told_from_a_task_that_is_gone(self, engine_settings: Settings, path: str) -> None:
        root = engine_settings.engine.url.removesuffix("/engine-rest")
        with pytest.raises(EngineMisconfiguredError, match="PROCOS_ENGINE_URL"):
            at(engine_settings, url=root + path).open_topics()

    def test_where_nobody_listens_is_unreachable(self, engine_settings: Settings) -> None:
        with pytest.raises(EngineUnreachableError, match="refused"):
            at(engine_settings, url="http://127.0.0.1:1").version()


class TestCredentials:
    @pytest.mark.parametrize(("user", "password"), [(None, None), ("procos", "wrong"), ("nobody", "not-a-secret")])
    def test_that_are_wrong_are_denied(self, engine_settings: Settings, user: str | None, password: str | None) -> None:
        with pytest.raises(EngineDeniedError, match="PROCOS_ENGINE_USER") as denied:
            at(engine_settings, user=user, password=password).open_topics()
        assert denied.value.status == 401


class TestModels:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"<not-xml", "XML|xml|parse"),
            (b"<?xml version='1.0'?><other/>", "."),
        ],
    )
    def test_that_are_malformed_are_refused_at_deploy(self, real_lab: RealLab, content: bytes, reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            real_lab.processes.deploy("bad", [ModelFile(name="bad.bpmn", content=content)])

    def test_that_nobody_deployed_cannot_be_started(self, real_lab: RealLab) -> None:
        with pytest.raises(UsageError, match="'no_such_process'"):
            real_lab.processes.start("no_such_process", {})


class TestMessages:
    @pytest.mark.parametrize("text", ["a\x00b", "half \ud83d of a pair", "x" * 5000, "", "\N{GRINNING FACE}" * 400])
    def test_of_failures_of_any_kind_are_taken(self, real_lab: RealLab, text: str) -> None:
        topic = real_lab.topic()
        task_id = real_lab.start(topic)
        subscription = Subscription(topic=topic, lock_duration=timedelta(minutes=1))
        real_lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=timedelta(0))
        real_lab.engine.fail(task_id, "me", message=text, details=text, retries=0, retry_in=timedelta(0))
        assert len(real_lab.incidents(task_id)) == 1


class TestSpin:
    def test_is_found(self, engine_settings: Settings) -> None:
        assert at(engine_settings).knows_json


class TestLongPoll:
    def test_returns_when_its_time_is_up(self, real_lab: RealLab) -> None:
        subscription = Subscription(topic=real_lab.topic(), lock_duration=timedelta(minutes=1))
        found = real_lab.engine.fetch_and_lock("me", [subscription], max_tasks=1, wait=timedelta(milliseconds=300))
        assert found == []
