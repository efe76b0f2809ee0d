"""A throwaway PostgreSQL cluster: a folder, a port of the loopback interface, gone at the end.

The server refuses to run as root, so root hands the folder to the user `postgres` the packages of Debian make.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSIONS = Path("/usr/lib/postgresql")
USER = "postgres"
COMMAND_SECONDS = 60.0
CURE = "PostgreSQL is not installed: apt-get install postgresql"


class Postgres:
    """The cluster, which may be stopped and started again; its data stays."""

    def __init__(self, home: Path, port: int) -> None:
        self.address = f"postgresql://{USER}@127.0.0.1:{port}/{USER}"
        self._home, self._data, self._port = home, home / "data", port
        self._programs, self._owner = _programs(), _as_owner(home)

    def create(self) -> None:
        """Make the folder of data."""
        initdb = self._programs / "initdb"
        _run(*self._owner, initdb, "-D", self._data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        """Start it, and wait until it answers; after a crash it reads its log first."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories={self._home}"
        self._control("-l", self._home / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """End it at once, as a crash does: nothing is written any more, and no connection is told."""
        self._control("-m", "immediate", "-w", "stop")

    def _control(self, *arguments: str | Path) -> None:
        _run(*self._owner, self._programs / "pg_ctl", "-D", self._data, *arguments)


@contextmanager
def running_postgres(port: int) -> Iterator[str]:
    """Run a cluster for the length of the block; yields its address for PROCOS_ENGINE_DB_URL."""
    with running_cluster(port) as postgres:
        yield postgres.address


@contextmanager
def running_cluster(port: int) -> Iterator[Postgres]:
    """Run a cluster that may be stopped and started again, for the length of the block.

    Raises:
        RuntimeError: PostgreSQL is not installed, or does not start.
    """
    home = Path(tempfile.mkdtemp(prefix="procos-chaos-postgres-"))
    try:
        postgres = Postgres(home, port)
        postgres.create()
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def missing() -> str | None:
    """Say how to install it, where it is not."""
    try:
        _programs()
    except RuntimeError as error:
        return str(error)
    return None


def version() -> str:
    """Return the version of the programs that are used, such as 15.8."""
    words = subprocess.run(
        [str(_programs() / "postgres"), "--version"],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=True,
    )
    return words.stdout.split()[2]


def _programs() -> Path:
    """Find the newest installed release; its programs are on nobody's path."""
    found = sorted(VERSIONS.glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).parent
    raise RuntimeError(CURE)


def _as_owner(home: Path) -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    shutil.chown(home, USER)
    return ("runuser", "-u", USER, "--")


def _run(*arguments: str | Path) -> None:
    # Its words go to a file: a server that inherited a pipe would keep the reader waiting.
    with tempfile.TemporaryFile() as words:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            words.seek(0)
            raise RuntimeError(f"{arguments[-1]} failed: {words.read().decode(errors='replace')[-500:]}")
