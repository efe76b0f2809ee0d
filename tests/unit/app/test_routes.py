"""The table of routes, and what packages may add to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import procos.routes
from procos.domain.errors import SettingsError
from procos.domain.external_task import Topic
from procos.routes import ROUTES, Route, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDED = Route(task_name="theirs.greet", queue="theirs", module="theirs", source="theirs")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Install a package whose entry point loads what the test says."""

    def install(loaded: Any) -> None:
        entry = SimpleNamespace(name="theirs", load=lambda: loaded)
        monkeypatch.setattr(procos.routes, "entry_points", lambda group: [entry] if group == "procos.routes" else [])
        routes.cache_clear()

    yield install
    routes.cache_clear()


class TestRoutes:
    def test_are_ours_and_those_of_installed_packages(self, installed: Callable[[Any], None]) -> None:
        installed({Topic("greet"): ADDED})
        assert dict(routes()) == dict(ROUTES) | {Topic("greet"): ADDED}

    def test_refuse_a_topic_that_is_taken(self, installed: Callable[[Any], None]) -> None:
        installed({Topic("ai_query"): ADDED})
        with pytest.raises(SettingsError, match=r"'theirs' of procos.routes claims topics that are taken: ai_query"):
            routes()

    @pytest.mark.parametrize("loaded", [None, [ADDED], {"greet": "text"}, 7, dict, {7: ADDED}, {"": ADDED}])
    def test_refuse_what_is_no_mapping_of_routes(self, installed: Callable[[Any], None], loaded: Any) -> None:
        installed(loaded)
        with pytest.raises(SettingsError, match=r"'theirs' of procos.routes is not a mapping"):
            routes()
