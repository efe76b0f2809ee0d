"""What `procos doctor` says of secrets, connections and packages, and what it exits with."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import procos.routes
from procos import task_modules as modules
from procos.cli.doctor import connections, packages
from procos.cli.doctor.connections import connection_findings
from procos.cli.doctor.findings import Finding, Health, exit_code
from procos.cli.doctor.packages import package_findings
from procos.domain.external_task import Topic
from procos.routes import Route, routes
from procos.settings import load_settings
from tasks.adapters import known
from tasks.adapters.health import Look, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOK = """
from procos.cli.doctor.command import CHECKS, guarded
from procos.settings import load_settings

for finding in guarded("packages", CHECKS["packages"], load_settings({}, dotenv=None)):
    print(finding.check, finding.health, finding.text)
"""
SETTINGS = load_settings({}, dotenv=None)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package of one route, and of modules of `procos.tasks`."""

    def install(route: Route, *added: str) -> None:
        package = SimpleNamespace(name="their-package")
        of_routes = [SimpleNamespace(name="theirs", dist=package, load=lambda: {Topic("greet"): route})]
        of_tasks = [SimpleNamespace(name="theirs", dist=package, value=module) for module in added]
        monkeypatch.setattr(procos.routes, "entry_points", lambda group: of_routes if group == "procos.routes" else [])
        for module in (modules, packages):
            monkeypatch.setattr(module, "entry_points", lambda group: of_tasks if group == "procos.tasks" else [])
        routes.cache_clear()

    yield install
    routes.cache_clear()


class TestConnections:
    @pytest.mark.parametrize(
        ("look", "health", "text"),
        [
            (Look(connection="crm", type="http", state=State.WELL, detail="hello"), Health.GOOD, "crm (http): hello"),
            (Look(connection="crm", state=State.UNTYPED, detail="no type"), Health.GOOD, "crm: no type"),
            (Look(connection="crm", type="http", state=State.AWAY, detail="no"), Health.UNREACHABLE, "crm (http): no"),
            (Look(connection="crm", state=State.WRONG, detail="connection 'crm' no"), Health.BAD, "connection 'crm'"),
        ],
        ids=lambda value: value.state if isinstance(value, Look) else None,
    )  # fmt: skip
    def test_are_told_as_they_were_found(
        self, look: Look, health: Health, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "looks", lambda _: [look])
        (finding,) = connection_findings(SETTINGS)
        assert finding.health is health
        assert finding.text.startswith(text)
        assert bool(finding.cure) == look.is_trouble


class TestPackages:
    def test_are_not_spoken_of_where_there_are_none(self) -> None:
        assert list(package_findings(SETTINGS)) == []

    def test_are_bad_where_a_topic_has_no_task(self, installed: Callable[..., None]) -> None:
        installed(Route(task_name="theirs.greet", queue="theirs", module="json"), "tomllib")
        (finding,) = package_findings(SETTINGS)
        assert finding.health is Health.BAD
        assert finding.text == "their-package: 'json' registers no task 'theirs.greet' for topic greet"

    def test_name_what_a_worker_could_not_import(self, installed: Callable[..., None]) -> None:
        installed(Route(task_name="theirs.greet", queue="theirs", module="nowhere_at_all"), "nowhere_either")
        assert [finding.text.partition(":")[2].partition(",")[0] for finding in package_findings(SETTINGS)] == [
            " the route of greet names 'nowhere_at_all'",
            " entry point 'theirs' of procos.tasks names 'nowhere_either'",
        ]

    def test_are_told_with_all_they_add(self, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        installed(Route(task_name="theirs.greet", queue="theirs", module="json"), "tomllib")
        tasks: Any = {"theirs.greet": object()}
        monkeypatch.setattr("procos.app.app", SimpleNamespace(tasks=tasks))
        (finding,) = package_findings(SETTINGS)
        assert finding.health is Health.GOOD
        assert finding.text == "their-package: topic greet on queue theirs, module tomllib"

    def test_name_a_module_that_ends_the_process(
        self, installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "their_script.py").write_text("raise SystemExit(0)", "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        installed(Route(task_name="theirs.greet", queue="theirs", module="their_script"))
        (finding,) = package_findings(SETTINGS)
        assert finding.text.endswith("names 'their_script', which cannot be imported: SystemExit: 0")

    def test_name_each_adapter_that_cannot_serve(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entries = [SimpleNamespace(name=name, dist=SimpleNamespace(name=f"their-{name}"), load=dict) for name in "ab"]
        monkeypatch.setattr(known, "entry_points", lambda group: entries if group == "procos.adapters" else [])
        known.entries.cache_clear()
        try:
            assert [(finding.health, finding.text) for finding in package_findings(SETTINGS)] == [
                (Health.BAD, f"their-{name}: entry point '{name}' of procos.adapters is no subclass of Adapter")
                for name in "ab"
            ]
        finally:
            known.entries.cache_clear()

    def test_are_looked_at_where_a_package_breaks_the_routes(self, tmp_path: Path) -> None:
        metadata = tmp_path / "theirs-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n", "utf-8")
        (metadata / "entry_points.txt").write_text("[procos.routes]\ntheirs = nowhere_at_all:ROUTES\n", "utf-8")
        places = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        done = subprocess.run(  # in a process of its own, since the app is made once
            [sys.executable, "-c", LOOK], env={"PYTHONPATH": places}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        fault = "entry point 'theirs' of procos.routes cannot be loaded: ModuleNotFoundError: No module named"
        assert done.stdout == f"packages bad theirs: {fault} 'nowhere_at_all'\n", done.stderr


class TestExitCode:
    @pytest.mark.parametrize(
        ("found", "code"),
        [
            ([], 0),
            ([Health.GOOD, Health.WARNING], 0),
            ([Health.GOOD, Health.BAD], 1),
            ([Health.UNREACHABLE, Health.BAD], 3),
        ],
    )
    def test_is_that_of_the_worst_finding(self, found: list[Health], code: int) -> None:
        assert exit_code([Finding(check="x", health=health, text="") for health in found]) == code
