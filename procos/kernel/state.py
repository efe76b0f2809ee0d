"""The folder of a stack: its state, credentials, logs and data, and the lock that says whether its owner lives.

Everything in it is for its user alone. The lock is the operating system's, held as long as the owner runs, so it is
never left behind; the state file says more, and may be left behind by an owner that was killed. A supervisor owns the
stack; the kernel, which may be a part of it, keeps its own lock and state beside them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from procos.kernel.stack import StackState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KERNEL = "kernel"
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
LOCK_LIMIT = 1.0
LOCK_PAUSE = 0.05


class StackFolder:
    """The paths and files of one stack; `owner` is the supervisor where it is not named."""

    def __init__(self, root: Path, *, owner: str = "") -> None:
        self.root = root.resolve()
        self.logs = self.root / "logs"
        prefix = f"{owner}-" if owner else ""
        self._lock = self.root / f"{prefix}lock"
        self._state = self.root / f"{prefix}state.json"
        self._environment = self.root / f"{prefix}environment.json"

    def create(self) -> None:
        """Make the folder, closed to everybody else and invisible to git."""
        for folder in (self.root, self.logs, self.root / "data", self.root / "secrets"):
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            folder.chmod(PRIVATE_FOLDER)
        (self.root / ".gitignore").write_text("*\n", "utf-8")

    def data(self, part: str) -> Path:
        """Return the folder a part keeps its data in."""
        folder = self.root / "data" / part
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return folder

    def log(self, part: str) -> Path:
        """Return the file a part's words go to."""
        return self.logs / f"{part}.log"

    def secret_file(self, name: str) -> Path:
        """Return the file a secret is kept in."""
        return self.root / "secrets" / name

    def secret(self, name: str) -> str:
        """Return a password of this stack; it is made up once and stays."""
        file = self.secret_file(name)
        with suppress(FileNotFoundError):
            if known := file.read_text("utf-8").strip():
                return known
        made_up = secrets.token_urlsafe(24)
        write_private(file, made_up + "\n")
        return made_up

    def save_state(self, state: StackState) -> None:
        """Replace the state file in one step, so that no reader sees half of it."""
        write_private(self._state, json.dumps(state.to_json(), indent=1))

    def state(self) -> StackState | None:
        """Return what the last owner wrote, or None when there is nothing we can read."""
        try:
            return StackState.from_json(json.loads(self._state.read_text("utf-8")))
        except (OSError, ValueError):
            return None

    def save_environment(self, environment: Mapping[str, str]) -> None:
        """Keep the PROCOS_ names by which other commands find the running stack."""
        write_private(self._environment, json.dumps(dict(environment), indent=1))

    def environment(self) -> Mapping[str, str]:
        """Return the PROCOS_ names of the running stack; none when no supervisor lives."""
        if not self.is_running():
            return {}
        try:
            document: Any = json.loads(self._environment.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(value) for name, value in document.items()}

    def is_running(self) -> bool:
        """Whether the owner lives."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def owner_pid(self) -> int | None:
        """Return the process that holds the lock, or held it last."""
        try:
            return int(self._lock.read_text("utf-8"))
        except (OSError, ValueError):
            return None

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock, with our process id in it, for the length of the block; False when another one holds it."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            is_ours = _lock_patiently(descriptor)
            if is_ours:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield is_ours
        finally:
            os.close(descriptor)


def stack_environment(state_directory: Path) -> Mapping[str, str]:
    """Return the PROCOS_ names, credentials included, of the stack that runs in this folder; none when none runs."""
    return StackFolder(state_directory).environment()


def write_private(file: Path, text: str) -> None:
    """Write a file only its owner can read, in one step."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as fresh:
            fresh.write(text)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _lock_patiently(descriptor: int) -> bool:
    # A command that only looks whether we run holds the lock for an instant.
    deadline = time.monotonic() + LOCK_LIMIT
    while not _lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        Event().wait(LOCK_PAUSE)
    return True


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
