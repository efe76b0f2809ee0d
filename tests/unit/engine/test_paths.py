"""Ids in addresses: each stays one segment, whatever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import EngineRejectedError
from procos.domain.external_task import ExternalTaskId
from procos.engine.http import HttpEngine
from procos.engine.paths import path
from procos.engine.transport import Transport
from procos.settings import EngineSettings

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Site

FORGED = ["a/b", "../process-instance/1", "a?b=c", "a#b", "a b", "%2e%2e", "..%2f", "a;b", "tâche", "\\..\\"]


class TestPath:
    @pytest.mark.parametrize("segment", FORGED)
    def test_keeps_an_id_one_segment(self, segment: str, site: Site) -> None:
        site.status, site.body = 204, b""
        HttpEngine(Transport(EngineSettings(url=site.address))).complete(ExternalTaskId(segment), "me", {})
        (sent,) = [path for _, path, _, _ in site.requests]
        assert sent.startswith("/engine-rest/external-task/")
        assert sent.endswith("/complete")
        assert sent.count("/") == 4
        assert "?" not in sent

    @pytest.mark.parametrize("segment", ["", ".", ".."])
    def test_refuses_what_no_quoting_keeps_apart(self, segment: str) -> None:
        with pytest.raises(EngineRejectedError, match="is not an id"):
            path("external-task", segment, "complete")

    def test_leaves_the_engines_own_ids_as_they_are(self) -> None:
        assert path("process-definition", "order-1", "xml") == "/process-definition/order-1/xml"
        assert path("process-definition", "order:1:8f1b", "xml") == "/process-definition/order%3A1%3A8f1b/xml"
