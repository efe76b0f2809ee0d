"""A user's own package in an environment of its own: its queue, its topic, its adapter and its modules, from a wheel.

The environment holds the wheels of ProcOS and of `examples/order_reports`, and nothing of this checkout. What both
depend on is lent by the environment of the tests, so that nothing is downloaded; the engine's jar is built here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.local_stack import ROOT, LocalStack, brought_up, clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "order_reports"
PARTS = ("engine", "broker", "redis", "bridge")
"""No worker: the test starts one, for the one queue."""
KEY = "key-of-the-archive"
UP_SECONDS = 60
SIGNALLED = '"event": "order_reports.archive"'
"""What the module of `procos.tasks` logs when its worker is ready."""
PLAIN_TASK = """
from procos.app import app
print(app.send_task("order_reports.archive_state", queue="reports").get(timeout=30))
"""
UNKNOWN_TASK = """
from procos.app import app
app.send_task("order_reports.nobody", queue="reports")
"""
FILES_OF_MODULES = """
import sys, procos.app, bridge.daemon, tasks.task, order_reports.report
ours = {"procos", "bridge", "tasks", "order_reports"}
print(*(m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] in ours and m.__file__), sep="\\n")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's processes and tests, and a fresh environment with both wheels."""
    home = tmp_path_factory.mktemp("home")
    for part in ("processes", "tests"):
        shutil.copytree(EXAMPLE / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(home / "venv", with_pip=False, symlinks=True)
    wheels = [
        wheel
        for project in (ROOT, EXAMPLE)
        for wheel in WheelBuilder(str(project)).build(directory=str(home / "wheels"), versions=["standard"])
    ]
    pip = [sys.executable, "-m", "pip", "--python", str(home / "venv"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", *wheels], check=True, timeout=100)
    # A folder named in a .pth file is searched last, and its own .pth files are not read: no checkout comes with it.
    site = next((home / "venv").glob("lib/*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"], "utf-8")
    return home


@pytest.fixture(scope="module")
def engine_jar() -> str:
    built = subprocess.run([str(ROOT / "deploy" / "engine" / "build.sh")], capture_output=True, text=True, check=True)
    return built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def stack(home: Path, engine_jar: str) -> Iterator[LocalStack]:
    """The stack as this environment brings it up; the archive is a connection of its settings."""
    ours = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    reports = {"TYPE": "report_archive", "FILE": str(home / "reports.db"), "KEY": "{{secrets.REPORT_KEY}}"}
    connection = {f"PROCOS_CONNECTIONS__REPORTS__{field}": value for field, value in reports.items()}
    stack = LocalStack(
        environment={
            **ours,
            **connection,
            "PROCOS_SECRETS__REPORT_KEY": KEY,
            "PROCOS_ENGINE_JAR": engine_jar,
            "PATH": os.pathsep.join([str(home / "venv" / "bin"), ours["PATH"]]),
        },
        folder=home / "state",
        python=str(home / "venv" / "bin" / "python"),
        directory=home,
    )
    with brought_up(stack, *PARTS, models=[home / "processes"]):
        yield stack


@contextmanager
def worker(stack: LocalStack, *arguments: str) -> Iterator[Path]:
    """Run a worker of this environment by the usual command; yields its log."""
    log = stack.folder / "worker-by-hand.log"
    command = [stack.python, "-m", "celery", "-A", "procos.app", "worker", *arguments]
    with log.open("w") as output:
        running = subprocess.Popen(
            command, env={**stack.environment, **stack.settings}, cwd=stack.directory, stdout=output, stderr=output
        )
        try:
            wait_until(lambda: SIGNALLED in log.read_text(), seconds=UP_SECONDS, what="the worker is up")
            yield log
        finally:
            running.terminate()
            running.wait(timeout=60)


def python(stack: LocalStack, *arguments: str) -> str:
    done = subprocess.run(
        [stack.python, *arguments],
        env={**stack.environment, **stack.settings},
        cwd=stack.directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestEnvironment:
    def test_has_nothing_of_the_checkout(self, stack: LocalStack, home: Path) -> None:
        files = python(stack, "-c", FILES_OF_MODULES).splitlines()
        assert len(files) > 20
        assert [file for file in files if not file.startswith(str(home / "venv"))] == []

    def test_runs_the_tests_of_the_package(self, stack: LocalStack) -> None:
        assert " passed" in python(stack, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")


class TestCommands:
    def test_show_what_the_package_adds(self, stack: LocalStack) -> None:
        routes = {row["topic"]: row for row in json.loads(stack.procos("routes", "--json").stdout)}
        assert (routes["order_report"]["queue"], routes["order_report"]["source"]) == ("reports", "order-reports")
        (adapter,) = json.loads(stack.procos("adapters", "report_archive", "--json").stdout)
        assert (adapter["source"], sorted(adapter["operations"])) == ("order-reports", ["file_report", "read_report"])

    def test_find_its_queue_without_a_worker_and_its_archive_well(self, stack: LocalStack) -> None:
        done = stack.procos("doctor")
        assert "order-reports: topic order_report on queue reports, adapter report_archive, module" in done.stdout
        assert "reports (report_archive): " in done.stdout
        assert (
            "no worker consumes queue reports; 0 tasks wait  ->  celery -A procos.app worker -Q reports" in done.stdout
        )
        assert done.returncode == 0, done.stdout
        assert KEY not in done.stdout + done.stderr

    def test_name_an_archive_that_cannot_be_used(self, stack: LocalStack) -> None:
        done = stack.procos("doctor", PROCOS_CONNECTIONS__REPORTS__FILE="/nowhere/reports.db")
        assert "✗ connection reports (report_archive): the archive /nowhere/reports.db cannot be used" in done.stdout
        assert done.returncode == 1


class TestWorker:
    def test_serves_the_queue_of_the_package_alone(self, stack: LocalStack, home: Path) -> None:
        with worker(stack, "-Q", "reports", "-c", "1") as log:
            sample = home / "processes" / "filed_order_report" / "sample.json"
            outcome = stack.run("filed_order_report", "--vars-file", str(sample))
            assert outcome["variables"]["order_total"] == "45.48"
            queues = {queue["name"]: queue["consumers"] for queue in stack.status_document()["queues"]}
            assert queues["reports"] == 1
            assert "no worker consumes queue reports" not in stack.procos("doctor").stdout
            assert python(stack, "-c", PLAIN_TASK).strip() == f"well: {home / 'reports.db'} opens"
        (signalled,) = [line for line in log.read_text().splitlines() if SIGNALLED in line]
        assert json.loads(signalled)["state"] == f"well: {home / 'reports.db'} opens"
        assert KEY not in log.read_text()

    def test_makes_dead_letters_of_what_it_cannot_run(self, stack: LocalStack) -> None:
        with worker(stack, "-Q", "reports", "-c", "1"):
            python(stack, "-c", UNKNOWN_TASK)

            def shelved() -> list[str]:
                return [letter["queue"] for letter in json.loads(stack.procos("dead-letters", "--json").stdout)]

            wait_until(lambda: shelved() == ["reports"], seconds=60, what="the dead letter is shown")

    def test_ends_at_once_where_no_route_names_its_queue(self, stack: LocalStack) -> None:
        done = stack.procos("worker", "-Q", "report")
        assert (done.returncode, "did you mean reports?" in done.stderr) == (2, True)

    def test_ends_at_once_where_a_module_of_the_package_is_broken(self, stack: LocalStack, home: Path) -> None:
        site = next((home / "venv").glob("lib/*/site-packages"))
        module = site / "order_reports" / "upkeep.py"
        text = module.read_text("utf-8")
        try:
            module.write_text("import nowhere_at_all\n", "utf-8")
            done = stack.procos("worker", "-Q", "reports")
        finally:
            module.write_text(text, "utf-8")
        assert done.returncode == 2
        assert "order-reports: entry point 'order_reports' of procos.tasks names 'order_reports.upkeep'" in done.stderr
