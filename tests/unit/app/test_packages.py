"""What a package of somebody else may add, and that what is wrong with it is said with its name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import pytest

import procos.routes
from procos import task_modules as modules
from procos.app import app, make_app
from procos.domain.errors import SettingsError
from procos.domain.external_task import Topic
from procos.packages import LONGEST_REASON, loaded
from procos.queues import fault_of_name, topology
from procos.route import OURS
from procos.routes import Route, by_queue, routes
from procos.settings import load_settings
from procos.task_modules import Loader, task_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GREET = Topic("greet")
ROUTE = Route(task_name="theirs.greet", queue="theirs", module="theirs.tasks")


def entry(value: str, *, loads: Any = None, group: str = "procos.routes") -> Any:
    """An entry point of the package `their-package`; with `loads` it needs no module."""
    if loads is None:
        real: Any = EntryPoint("theirs", value, group)
        return real._for(SimpleNamespace(name="their-package"))
    return SimpleNamespace(name="theirs", value=value, load=lambda: loads, dist=SimpleNamespace(name="their-package"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package with these routes, and with this module of `procos.tasks`."""

    def install(added: Any, module: str | None = None) -> None:
        of_routes = [] if added is None else [entry("theirs.routes:ROUTES", loads=added)]
        of_tasks = [entry(module, loads=object())] if module else []
        monkeypatch.setattr(procos.routes, "entry_points", lambda group: of_routes if group == "procos.routes" else [])
        monkeypatch.setattr(modules, "entry_points", lambda group: of_tasks if group == "procos.tasks" else [])
        routes.cache_clear()

    yield install
    routes.cache_clear()


@pytest.fixture
def broken_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_broken_module.py").write_text("raise RuntimeError('no licence')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "their_broken_module"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that ends the process that imports it, and says that all is well."""
    (tmp_path / "their_script.py").write_text("import sys\nsys.exit(0)", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "their_script"


class TestEntryPoint:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("nowhere_at_all:ROUTES", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
            ("their_broken_module:ROUTES", "RuntimeError: no licence"),
            ("their_script:ROUTES", "SystemExit: 0"),
            ("json:ROUTES", "AttributeError: module 'json' has no attribute 'ROUTES'"),
        ],
    )
    @pytest.mark.usefixtures("broken_module", "script")
    def test_that_cannot_be_loaded_is_named_with_its_package(self, value: str, said: str) -> None:
        with pytest.raises(SettingsError) as raised:
            loaded(entry(value), "procos.routes")
        assert str(raised.value) == f"their-package: entry point 'theirs' of procos.routes cannot be loaded: {said}"
        assert raised.value.exit_code == 2

    def test_that_says_much_is_cut(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "their_long_story.py").write_text("raise RuntimeError('x' * 9999)", "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(SettingsError) as raised:
            loaded(entry("their_long_story:ROUTES"), "procos.routes")
        assert len(str(raised.value)) < LONGEST_REASON + 100


class TestQueue:
    @pytest.mark.parametrize("name", ["ai", "generic", "reports", "eu-reports", "reports_2", "a" * 60])
    def test_may_have_a_plain_name(self, name: str) -> None:
        assert fault_of_name(name) is None

    @pytest.mark.parametrize(
        "name",
        [
            "", "Reports", "re ports", "a,b", "a/b", "reports.dead", "callbacks", "callbacks.parked", "dead-letters",
            "-a", "a-", "a--b", "2go", "berichte-ü", "a\n", "a" * 61, "amq.rabbitmq.log",
        ],
    )  # fmt: skip
    def test_may_have_no_other(self, name: str, installed: Callable[..., None]) -> None:
        installed({GREET: Route(task_name="theirs.greet", queue=name, module="theirs.tasks")})
        with pytest.raises(SettingsError, match="route greet of their-package: ") as raised:
            routes()
        assert len(raised.value.problems) == 1

    def test_of_a_package_is_declared_with_its_dead_letters_and_consumed(self, installed: Callable[..., None]) -> None:
        installed({GREET: ROUTE})
        assert {"theirs", "theirs.dead"} <= {queue.name for queue in topology(by_queue())}
        consumed = make_app(load_settings({}, dotenv=None)).conf.task_queues
        assert {queue.name for queue in consumed} == {"ai", "generic", "theirs"}


class TestRoutes:
    def test_are_from_the_package_that_adds_them(self, installed: Callable[..., None]) -> None:
        installed({GREET: ROUTE})
        assert routes()[GREET].source == "their-package"
        assert routes()[Topic("ai_query")].source == OURS

    def test_may_not_share_a_task(self, installed: Callable[..., None]) -> None:
        installed({GREET: ROUTE, Topic("wave"): ROUTE})
        with pytest.raises(SettingsError, match=r"wave of their-package: task 'theirs\.greet' is that of topic greet"):
            routes()

    def test_may_not_take_a_task_of_ours(self, installed: Callable[..., None]) -> None:
        installed({GREET: Route(task_name="procos.ai_query", queue="theirs", module="theirs.tasks")})
        with pytest.raises(SettingsError, match=r"task 'procos\.ai_query' is that of topic ai_query"):
            routes()

    def test_may_be_any_mapping(self, installed: Callable[..., None]) -> None:
        installed(MappingProxyType({GREET: ROUTE}))
        assert GREET in routes()


class TestModules:
    def test_are_those_of_the_routes_and_those_of_packages(self, installed: Callable[..., None]) -> None:
        installed({GREET: ROUTE}, "theirs.signals")
        named = task_modules()
        assert named["theirs.tasks"] == "their-package: the route of greet"
        assert named["theirs.signals"] == "their-package: entry point 'theirs' of procos.tasks"
        assert list(make_app(load_settings({}, dotenv=None)).conf.include) == list(named)

    def test_that_are_broken_end_a_worker_with_exit_code_2(
        self, installed: Callable[..., None], broken_module: str
    ) -> None:
        installed({GREET: Route(task_name="theirs.greet", queue="theirs", module="nowhere_at_all")}, broken_module)
        with pytest.raises(click.UsageError) as raised:
            Loader(app).init_worker()
        assert raised.value.exit_code == 2
        first, second = str(raised.value).splitlines()
        assert first.startswith("their-package: the route of greet names 'nowhere_at_all', which cannot be imported: ")
        assert second.startswith("their-package: entry point 'theirs' of procos.tasks names 'their_broken_module', ")
        assert second.endswith("which cannot be imported: RuntimeError: no licence")

    def test_that_end_the_process_are_named_like_others(self, installed: Callable[..., None], script: str) -> None:
        installed(None, script)
        with pytest.raises(click.UsageError, match="names 'their_script', which cannot be imported: SystemExit: 0"):
            Loader(app).init_worker()

    def test_are_imported_by_workers_alone(self, installed: Callable[..., None], broken_module: str) -> None:
        installed(None, broken_module)
        assert broken_module in make_app(load_settings({}, dotenv=None), with_results=False).conf.include
