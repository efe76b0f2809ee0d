"""A folder that is a link by the time it is used: whenever it is flipped, no byte is read or written outside."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import TaskError
from tasks.adapters.files.local import LocalRoot
from tests.tasks.files_roots import SECRET, Surroundings, do, files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 150
"""Of seven operations each, while somebody flips."""
HERE, EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings.made(tmp_path)


def flip(around: Surroundings) -> None:
    """Exchange the folder `inner` and a link to the outside, at one stroke (renameat2, RENAME_EXCHANGE)."""
    one, other = (os.fsencode(around.root / name) for name in ("inner", "other"))
    assert ctypes.CDLL(None, use_errno=True).renameat2(HERE, one, HERE, other, EXCHANGE) == 0, ctypes.get_errno()


@contextmanager
def flipping(around: Surroundings) -> Iterator[None]:
    over, interval = threading.Event(), sys.getswitchinterval()

    def work() -> None:
        while not over.is_set():
            flip(around)

    (around.root / "other").symlink_to(around.outside)
    flipper = threading.Thread(target=work)
    sys.setswitchinterval(1e-5)  # so that it comes between two calls as often as can be
    flipper.start()
    try:
        yield
    finally:
        over.set()
        flipper.join()
        sys.setswitchinterval(interval)


class TestFlippedFolder:
    def test_never_leads_a_byte_outside(self, surroundings: Surroundings) -> None:
        before, service, ends = surroundings.seen(), files(surroundings.root), set[str]()
        steps: list[tuple[str, dict[str, Any]]] = [
            ("read", {"path": "inner/secret.txt"}),
            ("read", {"path": "inner/file.txt"}),
            ("write", {"path": "inner/new.txt", "content": "x", "overwrite": "replace"}),
            ("write", {"path": "inner/deeper/new.txt", "content": "x", "overwrite": "fail"}),
            ("copy", {"path": "inner/file.txt", "target": "copy.txt", "overwrite": "replace"}),
            ("delete", {"path": "inner/secret.txt"}),
            ("list", {"path": "inner"}),
        ]
        with flipping(surroundings):
            for operation, parameters in steps * ROUNDS:
                try:
                    result = do(service, operation, **parameters)
                except TaskError as error:
                    ends.add(getattr(error, "code", ""))
                    continue
                ends.add("done")
                assert result.get("content") != SECRET
                assert result.get("deleted") is not True
                assert "secret.txt" not in {each["name"] for each in result.get("entries", [])}
        assert surroundings.seen() == before
        assert {"done", "PATH_DENIED"} <= ends <= {"done", "PATH_DENIED", "NOT_FOUND"}
        copy = surroundings.root / "copy.txt"  # not there where each copy met a link, as on a host that is busy
        assert not copy.exists() or copy.read_text() == "inside"

    def test_that_is_flipped_while_a_file_is_written_gets_the_file(self, surroundings: Surroundings) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"one "
            (surroundings.root / "inner").rename(surroundings.root / "aside")
            (surroundings.root / "inner").symlink_to(surroundings.outside)
            yield b"two"

        before = surroundings.seen()
        LocalRoot(str(surroundings.root)).write(("inner", "new.txt"), pieces(), replace=True)
        assert (surroundings.root / "aside/new.txt").read_text() == "one two"
        assert surroundings.seen() == before

    def test_that_is_flipped_while_a_file_is_read_changes_nothing(self, surroundings: Surroundings) -> None:
        with LocalRoot(str(surroundings.root)).opened(("inner", "file.txt")) as (stream, _):
            (surroundings.root / "inner").rename(surroundings.root / "aside")
            (surroundings.root / "inner").symlink_to(surroundings.outside)
            assert stream.read() == b"inside"


class TestFlippedFile:
    def test_that_becomes_a_link_before_it_is_written_is_replaced_not_followed(
        self, surroundings: Surroundings
    ) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"x"
            (surroundings.root / "file.txt").unlink()
            (surroundings.root / "file.txt").symlink_to(surroundings.outside / "secret.txt")

        before = surroundings.seen()
        with pytest.raises(TaskError, match="no ordinary file"):
            LocalRoot(str(surroundings.root)).write(("file.txt",), pieces(), replace=True)
        assert surroundings.seen() == before

    def test_that_is_made_while_it_is_written_is_not_overwritten(self, surroundings: Surroundings) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"x"
            (surroundings.root / "new.txt").write_text("theirs")

        with pytest.raises(TaskError, match="ALREADY_EXISTS"):
            LocalRoot(str(surroundings.root)).write(("new.txt",), pieces(), replace=False)
        assert (surroundings.root / "new.txt").read_text() == "theirs"
        assert sorted(each.name for each in surroundings.root.iterdir()) == ["file.txt", "inner", "new.txt"]
