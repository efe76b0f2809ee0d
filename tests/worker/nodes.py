"""pytest-celery's nodes as native processes: what its containers do, over the services and workers of this machine.

A node asks its container for little: id, name, status, logs, ready, kill, restart, teardown and the addresses for
Celery. So the test bodies are those one would write against containers; only the provider differs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from procos.kernel.parts.environment import service_environment
from tests.services import signal_group, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.services import Service

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
READY = "ready."
START_SECONDS = 30.0
STOP_SECONDS = 30.0


class ServiceContainer:
    """A broker or backend that the whole test session shares; it is not this node's to end."""

    def __init__(self, service: Service, address: str) -> None:
        self.id = self.name = str(service.part.name)
        self.status = "running"
        self.celeryconfig = {"url": address, "host_url": address}

    def ready(self) -> bool:
        """Say that it is: the fixture of the service has waited for it."""
        return True

    def teardown(self) -> None:
        """Leave it to its owner."""


class WorkerContainer:
    """A worker started as anybody would: `celery -A procos.app worker …`, in a process group of its own."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self.name = f"worker-{self.id[:6]}"
        self.celeryconfig: dict[str, str] = {}
        self._arguments, self._environment = tuple(arguments), dict(environment)
        self._log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lives = 0

    @property
    def status(self) -> str:
        """Whether its main process lives."""
        return "running" if self._process is not None and self._process.poll() is None else "exited"

    @property
    def pid(self) -> int:
        """The process id of its main process, which is its group's too."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it takes tasks."""
        self._lives += 1
        with self._log.open("ab") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "procos.app", "worker", *self._arguments],
                env=service_environment(
                    **self._environment, PYTHONPATH=f"{ROOT}:{SAMPLES}", PROCOS_LOG_FORMAT="json", PYTHONUNBUFFERED="1"
                ),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                cwd=self._log.parent,
                start_new_session=True,
            )
        wait_until(self._is_up, START_SECONDS, what=f"the worker is ready; its log is {self._log}")

    def ready(self) -> bool:
        """Whether it takes tasks."""
        return self.status == "running" and self._is_up()

    def logs(self) -> str:
        """Return everything it ever said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self, signal: str | int = "SIGKILL") -> None:  # the node's word for it
        """Send the signal to the worker and its children."""
        assert self._process is not None
        number = _number(signal)
        signal_group(self._process.pid, number)
        self._process.wait(STOP_SECONDS)

    def restart(self, timeout: float = 0) -> None:  # noqa: ARG002  # the node's signature
        """End what is left of it, and start it again."""
        self.teardown()
        self.start()

    def reload(self) -> None:
        """Do nothing: what is asked is always asked of the process itself."""

    def teardown(self) -> None:
        """End it for good, and at once: how a worker ends is what tests ask for with `kill`."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def worker_name(self) -> str:
        """Return the name by which the node calls it."""
        return self.name

    def worker_queue(self) -> str:
        """Return the queues it was given."""
        return self._arguments[self._arguments.index("-Q") + 1] if "-Q" in self._arguments else ""

    def _is_up(self) -> bool:
        return self.logs().count(READY) >= self._lives or self.status == "exited"


def _number(name: str | int) -> signal.Signals:
    return signal.Signals[name] if isinstance(name, str) else signal.Signals(name)
