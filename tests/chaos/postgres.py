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


@contextmanager
def running_postgres(port: int) -> Iterator[str]:
    """Run a cluster for the length of the block; yields its address for PROCOS_ENGINE_DB_URL.

    Raises:
        RuntimeError: PostgreSQL is not installed, or does not start.
    """
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="procos-chaos-postgres-"))
    data, as_owner = home / "data", _as_owner(home)
    try:
        _run(*as_owner, programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={home}"
        _run(*as_owner, programs / "pg_ctl", "-D", data, "-l", home / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/{USER}"
        finally:
            _run(*as_owner, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
