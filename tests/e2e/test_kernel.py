"""`procos kernel` on a real engine, RabbitMQ and Redis: its boot, its care for the engine, its end."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from tests.availability import require
from tests.chaos import postgres
from tests.kernel_process import KernelProcess, kill, running_kernel, until
from tests.local_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ORCHESTRATOR = "procos_system_orchestrator"
PHASES = [
    "validate the environment", "start the engine", "wait until it is ready", "deploy the root models",
    "start procos_system_orchestrator", "monitor",
]  # fmt: skip
USAGE, UNREACHABLE, FAILED = 2, 3, 1
FIRST, OTHERS = 0, 1
"""Databases of Redis, of which a local stack has two."""


def a_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def services(stack_factory: Any) -> dict[str, str]:
    """Where a broker and a Redis are."""
    settings = stack_factory("broker", "redis").settings
    return {name: settings[name] for name in ("PROCOS_BROKER_URL", "PROCOS_REDIS_URL")}


@pytest.fixture(scope="module")
def boot(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., KernelProcess]]:
    """Start kernels, which are stopped at the end of the module.

    A Redis has one system: those of the same database are kernels of the same.
    """
    with ExitStack() as running:

        def start(
            folder: Path | None = None, *, port: int | None = None, database: int = OTHERS, shares_folder: bool = False,
            **settings: str,
        ) -> KernelProcess:  # fmt: skip
            kernel = running_kernel(
                folder or tmp_path_factory.mktemp("kernel"),
                {**of_database(services, database), "PROCOS_HEALTH_CHECK_INTERVAL": "2", **settings},
                engine_port=port or a_port(),
                health_port=a_port(),
                leaves_nothing=not shares_folder,
            )
            return running.enter_context(kernel)

        yield start


def of_database(services: dict[str, str], database: int) -> dict[str, str]:
    return {**services, "PROCOS_REDIS_URL": f"{services['PROCOS_REDIS_URL'].rpartition('/')[0]}/{database}"}


@pytest.fixture(scope="module")
def kernel(boot: Any) -> KernelProcess:
    """One that has booted."""
    kernel: KernelProcess = boot(database=FIRST)
    kernel.await_ready()
    return kernel


class TestBoot:
    def test_goes_through_six_phases_and_says_how_each_went(self, kernel: KernelProcess) -> None:
        lines = re.findall(r"kernel (\d)/6  (.+?)  +(done|begun|failed)", kernel.said)

        assert [(int(number), purpose, word) for number, purpose, word in lines] == [
            (number, purpose, "begun" if number == len(PHASES) else "done")
            for number, purpose in enumerate(PHASES, start=1)
        ]

    def test_starts_one_orchestrator_with_the_guides_variables(self, kernel: KernelProcess) -> None:
        (instance,) = kernel.running(ORCHESTRATOR)
        url = f"{kernel.rest}/process-instance/{instance}/variables"
        assert {"system_mode", "kernel_version", "startup_time"} <= requests.get(url, timeout=20).json().keys()

    def test_shows_its_health_and_counts(self, kernel: KernelProcess) -> None:
        assert requests.get(f"{kernel.health}/readyz", timeout=5).json() == {
            "status": "ready", "boot": "ok", "engine": "ok", "orchestrator": "ok",
        }  # fmt: skip
        assert (
            'procos_kernel_phase_seconds{phase="readiness"}' in requests.get(f"{kernel.health}/metrics", timeout=5).text
        )

    def test_refuses_a_second_kernel_in_its_folder(self, boot: Any, kernel: KernelProcess) -> None:
        second = boot(kernel.folder, shares_folder=True)

        assert second.await_end() == USAGE
        assert f"a kernel runs already in {kernel.folder} (pid {kernel.process.pid})" in second.said

    def test_attaches_to_a_running_engine_and_leaves_it_running(self, boot: Any, kernel: KernelProcess) -> None:
        before = kernel.running(ORCHESTRATOR)
        second = boot(PROCOS_ENGINE_URL=kernel.rest, database=FIRST)
        second.await_ready()

        assert f"attached to {kernel.rest}" in second.said
        assert f"instance {before[0]} runs already" in second.said
        assert second.stop() == 0
        assert kernel.running(ORCHESTRATOR) == before
        assert kernel.is_ready()

    def test_starts_one_orchestrator_where_two_boot_at_once(self, boot: Any, kernel: KernelProcess) -> None:
        (before,) = kernel.running(ORCHESTRATOR)
        requests.delete(f"{kernel.rest}/process-instance/{before}", timeout=20).raise_for_status()
        both = [boot(PROCOS_ENGINE_URL=kernel.rest, database=FIRST) for _ in range(2)]
        for each in both:
            each.await_ready()

        assert len(kernel.running(ORCHESTRATOR)) == 1
        assert [each.stop() for each in both] == [0, 0]
        assert len(kernel.running(ORCHESTRATOR)) == 1  # neither was the last

    @pytest.mark.parametrize(
        ("access", "code", "words"),
        [
            ({"PROCOS_ENGINE_URL": "{rest}/nowhere"}, USAGE, "nowhere"),
            ({"PROCOS_ENGINE_URL": "http://127.0.0.1:1"}, UNREACHABLE, "PROCOS_ENGINE_URL names it"),
        ],
        ids=["a wrong path", "nobody"],
    )
    def test_says_what_is_wrong_with_the_engine_it_is_to_attach_to(
        self, boot: Any, kernel: KernelProcess, access: dict[str, str], code: int, words: str
    ) -> None:
        settings = {name: value.format(rest=kernel.rest) for name, value in access.items()}
        other = boot(PROCOS_STARTUP_TIMEOUT="2", **settings)

        assert (other.await_end(), words in other.said) == (code, True), other.said


class TestCare:
    def test_brings_a_killed_engine_back_with_all_that_ran(self, kernel: KernelProcess) -> None:
        before, pid, already = kernel.running(ORCHESTRATOR), kernel.engine.pid, kernel.engine.restarts
        kill(pid)
        until(lambda: kernel.engine.restarts == already + 1, 20, "the engine was started again")
        until(kernel.is_ready, 90, "the engine is back")

        assert kernel.engine.pid != pid
        assert kernel.running(ORCHESTRATOR) == before
        assert "the engine was killed by SIGKILL" in kernel.said
        assert (
            f"procos_kernel_engine_restarts {already + 1}.0" in requests.get(f"{kernel.health}/metrics", timeout=5).text
        )

    def test_ends_and_restarts_an_engine_that_hangs(self, kernel: KernelProcess) -> None:
        already = kernel.engine.restarts
        kill(kernel.engine.pid, signal.SIGSTOP)
        until(lambda: kernel.engine.restarts == already + 1, 90, "the engine was started again")
        until(kernel.is_ready, 90, "the engine is back")

        assert re.search(r"the engine did not answer for \d+ s \(no answer within 2 s\)", kernel.said)


class TestEnd:
    def test_takes_leave_and_boots_again_to_what_it_left(self, boot: Any) -> None:
        first = boot()
        first.await_ready()
        deployed = re.search(r"(\d+) models, new", first.said)
        assert first.stop() == 0
        assert "procos_system_shutdown has ended" in first.said
        assert first.left() == []

        second = boot(first.folder)
        second.await_ready()
        assert deployed
        assert f"{deployed[1]} models, none has changed" in second.said
        assert "runs already" not in second.said  # the farewell ended it
        assert len(second.running(ORCHESTRATOR)) == 1
        assert second.stop() == 0

    def test_deploys_what_has_changed_between_two_boots(self, boot: Any, tmp_path: Path) -> None:
        model = tmp_path / "sample_noop.bpmn"
        model.write_text((ROOT / "tests/samples/models/sample_noop.bpmn").read_text("utf-8"), "utf-8")
        first = boot(PROCOS_PROCESS_DIRECTORY=str(tmp_path))
        first.await_ready()
        assert first.stop() == 0

        model.write_text(model.read_text("utf-8").replace("Do nothing", "Do as little"), "utf-8")
        second = boot(first.folder, PROCOS_PROCESS_DIRECTORY=str(tmp_path))
        second.await_ready()

        assert "4 models, new: sample_noop 2" in second.said
        assert second.stop() == 0

    def test_leaves_no_orphan_when_it_is_killed(self, boot: Any) -> None:
        kernel = boot()
        kernel.await_ready()
        engine = kernel.engine.pid

        kill(kernel.process.pid)
        until(lambda: not psutil.pid_exists(engine), 30, "the engine is gone")

        again = boot(kernel.folder)
        again.await_ready()
        assert "runs already" in again.said  # nobody has taken leave of it
        assert again.stop() == 0

    def test_can_be_asked_to_stop_while_it_boots(self, boot: Any) -> None:
        kernel = boot()
        kernel.await_words("start the engine", "done")

        assert kernel.stop() == 0
        assert kernel.left() == []

    def test_is_at_home_as_the_first_process_of_a_container(self, services: dict[str, str], tmp_path: Path) -> None:
        namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        with running_kernel(
            tmp_path, of_database(services, OTHERS), prefix=namespace, engine_port=a_port(), health_port=a_port()
        ) as kernel:
            kernel.await_ready()
            (first,) = psutil.Process(kernel.process.pid).children()
            first.send_signal(signal.SIGTERM)

            assert kernel.await_end() == 0
            assert "procos_system_shutdown has ended" in kernel.said


class TestMissing:
    """Each thing a boot needs, missing in turn: which it is, the exit code, and nothing left running."""

    @pytest.mark.parametrize(
        ("lacks", "code", "words"),
        [
            (
                {"PROCOS_BROKER_URL": "amqp://127.0.0.1:1//"},
                UNREACHABLE,
                "the broker at amqp://127.0.0.1:1// cannot be",
            ),
            (
                {"PROCOS_REDIS_URL": "redis://127.0.0.1:1/0"},
                UNREACHABLE,
                "the Redis at redis://127.0.0.1:1/0 cannot be",
            ),
            ({"PROCOS_ENGINE_DB_URL": "postgresql://127.0.0.1:1/x"}, UNREACHABLE, "the database at 127.0.0.1:1 cannot"),
            ({"JAVA_HOME": "/nowhere"}, USAGE, "engine: Java 17 or newer is missing"),
            ({"PROCOS_ENGINE_JAR": "/nowhere.jar"}, USAGE, "there is no jar at /nowhere.jar"),
            ({"PROCOS_PATIENCE": "1"}, USAGE, "PROCOS_PATIENCE is not a setting; did you mean"),
        ],
        ids=["broker", "redis", "database", "java", "jar", "setting"],
    )
    def test_is_named(self, boot: Any, lacks: dict[str, str], code: int, words: str) -> None:
        kernel = boot(**{"PROCOS_KERNEL_PATIENCE": "0.5", "PROCOS_STARTUP_TIMEOUT": "2", **lacks})

        assert (kernel.await_end(), words in kernel.said) == (code, True), kernel.said
        assert kernel.left() == []

    def test_names_a_port_that_is_taken(self, boot: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            kernel = boot(port=port)

            assert kernel.await_end() == USAGE
            assert f"port {port} cannot be listened on, it may be taken; set PROCOS_ENGINE_PORT" in kernel.said

    def test_names_the_line_of_a_broken_model(self, boot: Any, tmp_path: Path) -> None:
        (tmp_path / "broken.bpmn").write_text("<definitions>\n<process", "utf-8")
        kernel = boot(PROCOS_PROCESS_DIRECTORY=str(tmp_path))

        assert kernel.await_end() == USAGE
        assert "broken.bpmn:2: not well-formed XML" in kernel.said

    def test_shows_the_end_of_the_log_of_an_engine_that_does_not_come_up(self, boot: Any, tmp_path: Path) -> None:
        jar = tmp_path / "no.jar"
        jar.write_bytes(b"no jar at all")
        kernel = boot(PROCOS_ENGINE_JAR=str(jar))

        assert kernel.await_end() == FAILED
        assert "Invalid or corrupt jarfile" in kernel.said

    def test_waits_for_a_database_that_comes_later(self, boot: Any) -> None:
        require(postgres.missing())
        with postgres.running_cluster(a_port()) as cluster:
            cluster.stop()
            kernel = boot(PROCOS_ENGINE_DB_URL=cluster.address)
            kernel.await_words("waits  database: connection refused")
            cluster.start()
            kernel.await_ready()
            assert kernel.stop() == 0
