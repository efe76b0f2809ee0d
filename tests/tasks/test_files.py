"""The adapter of files: what its operations do in a folder and in a store, its bounds, and what errors mean."""

from __future__ import annotations

import errno
import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, TransientError
from procos.settings import load_settings
from tasks.adapters.adapter import Call
from tasks.adapters.files import draft, listing
from tasks.adapters.files.adapter import Files
from tasks.adapters.files.content import LARGEST_TEXT
from tasks.adapters.files.faults import of, translated_driver
from tasks.adapters.files.local import LocalRoot
from tasks.adapters.files.roots import FilesConnection
from tasks.blobs import StepBlobs
from tests.tasks.files_roots import do, files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.adapters.files.root import Entry

NO_DRIVER = "no driver for such addresses, or one that does not take these `options`"


@pytest.fixture(params=["folder", "store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def blobs() -> StepBlobs:
    settings = load_settings({"PROCOS_BLOBS_URL": f"memory://{uuid.uuid4().hex}"}, dotenv=None)
    return StepBlobs(settings=settings, process_instance_id="instance-1")


def code_of(service: Files, operation: str, **parameters: Any) -> str:
    with pytest.raises((BusinessError, PermanentError, TransientError)) as raised:
        do(service, operation, **parameters)
    return str(getattr(raised.value, "code", ""))


class TestWrite:
    def test_makes_a_file_and_the_folders_above_it(self, url: str) -> None:
        written = do(files(url), "write", path="a/b/c.txt", content="hällo")
        assert (written["size"], written["already_there"]) == (6, False)
        read = do(files(url), "read", path="a/b/c.txt")
        assert (read["content"], read["sha256"], read["media_type"]) == ("hällo", written["sha256"], "text/plain")

    def test_done_twice_leaves_the_same_file(self, url: str) -> None:
        first, again = (do(files(url), "write", path="a.txt", content="x") for _ in range(2))
        assert again == {**first, "already_there": True}

    def test_overwrites_only_where_it_may(self, url: str) -> None:
        do(files(url), "write", path="a.txt", content="theirs")
        assert code_of(files(url), "write", path="a.txt", content="ours") == "ALREADY_EXISTS"
        assert code_of(files(url), "write", path="a.txt", content="ours!!") == "ALREADY_EXISTS"
        do(files(url), "write", path="a.txt", content="ours", overwrite="replace")
        assert do(files(url), "read", path="a.txt")["content"] == "ours"

    @pytest.mark.parametrize("overwrite", ["fail", "replace"])
    def test_takes_no_folder_for_a_file(self, url: str, overwrite: str) -> None:
        do(files(url), "write", path="a/b.txt", content="x")
        assert code_of(files(url), "write", path="a", content="x", overwrite=overwrite) == "IS_A_FOLDER"

    @pytest.mark.parametrize(
        ("given", "text"), [({"a": ["ä"]}, '{"a": ["ä"]}\n'), ('{"a":1}', '{"a": 1}\n'), (7, "7\n")]
    )
    def test_writes_values_as_json(self, url: str, given: object, text: str) -> None:
        do(files(url), "write", path="a.txt", json=given)
        assert do(files(url), "read", path="a.txt")["content"] == text

    def test_writes_texts_in_the_encoding_that_is_asked_for(self, url: str) -> None:
        do(files(url), "write", path="a.txt", content="€", encoding="windows-1252")
        assert do(files(url), "checksum", path="a.txt")["size"] == 1
        assert do(files(url), "read", path="a.txt", encoding="windows-1252")["content"] == "€"

    def test_writes_a_blob_in_pieces(self, url: str, blobs: StepBlobs) -> None:
        content = os.urandom(3 * 1024 * 1024 + 1)
        reference = blobs.put(content)
        service = Files(FilesConnection(type="files", url=url, writable=True), blobs=blobs)
        assert do(service, "write", path="a.bin", content=reference.to_json())["sha256"] == reference.sha256
        read = do(service, "read", path="a.bin")
        assert read["content"]["sha256"] == reference.sha256
        assert read["content"]["name"] == "a.bin"

    def test_of_what_is_too_large_leaves_nothing(self, url: str) -> None:
        do(files(url), "write", path="there.txt", content="x")
        assert code_of(files(url, largest=3), "write", path="a.txt", content="four") == "TOO_LARGE"
        assert [each["name"] for each in do(files(url, hidden=True), "list")["entries"]] == ["there.txt"]

    def test_stops_when_the_time_is_over(self, url: str) -> None:
        with pytest.raises(TransientError, match="time of the step"):
            do(files(url), "write", seconds=0.0, path="a.txt", content="x")
        assert not do(files(url), "stat", path="a.txt")["exists"]

    def test_needs_a_connection_that_is_writable(self, url: str) -> None:
        for operation, more in (("write", {"content": "x"}), ("copy", {"target": "b.txt"})):
            assert code_of(files(url, writable=False), operation, path="a.txt", **more) == "FILES_NOT_ALLOWED"


class TestDraft:
    def test_has_another_name_where_files_without_one_are_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(draft, "UNNAMED", draft.WRITE)
        do(files(tmp_path), "write", path="a.txt", content="x")
        do(files(tmp_path), "write", path="a.txt", content="y", overwrite="replace")
        assert code_of(files(tmp_path), "write", path="a.txt", content="z") == "ALREADY_EXISTS"
        assert do(files(tmp_path), "read", path="a.txt")["content"] == "y"
        assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]

    def test_leaves_nothing_where_writing_fails(self, tmp_path: Path) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"x"
            raise OSError(errno.ENOSPC, "no room")

        with pytest.raises(TransientError) as raised:
            LocalRoot(str(tmp_path)).write(("a.txt",), pieces(), replace=True)
        assert raised.value.code == "DISK_FULL"
        assert list(tmp_path.iterdir()) == []

    def test_says_where_a_file_system_knows_no_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
        assert code_of(files(tmp_path), "write", path="a.txt", content="x") == "FILES_UNSUITABLE"


class TestRead:
    @pytest.mark.parametrize(
        ("name", "content", "expected"),
        [
            ("a.json", b'{"a": 1}', {"a": 1}),
            ("a.json", b'{"a": ', '{"a": '),
            ("a.json", b'{"a": NaN}', '{"a": NaN}'),
            ("a.json", b"[" * 50_000, "[" * 50_000),
            ("a.csv", b"a;b\n", "a;b\n"),
            ("a", b"plain", "plain"),
            ("empty.txt", b"", ""),
        ],
    )
    def test_finds_out_what_a_small_text_is(self, tmp_path: Path, name: str, content: bytes, expected: object) -> None:
        (tmp_path / name).write_bytes(content)
        assert do(files(tmp_path), "read", path=name)["content"] == expected

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.txt", b"\xff\xfe"),
            ("a.txt", b"a\0b"),
            ("a.pdf", b"%PDF-1.7"),
            ("a.txt", b"x" * (LARGEST_TEXT + 1)),
        ],
    )
    def test_makes_a_blob_of_anything_else(self, tmp_path: Path, blobs: StepBlobs, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        service = Files(FilesConnection(type="files", url=str(tmp_path)), blobs=blobs)
        read = do(service, "read", path=name)
        assert (read["content"]["size"], read["size"]) == (len(content), len(content))
        assert read["content"]["sha256"] == read["sha256"]

    @pytest.mark.parametrize(
        ("content", "wanted", "code"),
        [
            (b"\xff", "text", "CONTENT_INVALID"),
            (b"a\0b", "text", "CONTENT_INVALID"),
            (b"{", "json", "CONTENT_INVALID"),
            (b'"\\ud800"', "json", "CONTENT_INVALID"),
            (b"x" * (4 * 1024 * 1024 + 1), "text", "TOO_LARGE"),
            (b"x", "blob", "BLOBS_UNSET"),
        ],
    )
    def test_says_where_it_is_not_what_is_asked_for(
        self, tmp_path: Path, content: bytes, wanted: str, code: str
    ) -> None:
        (tmp_path / "a").write_bytes(content)
        assert code_of(files(tmp_path), "read", path="a", read_as=wanted) == code

    def test_refuses_what_is_too_large_or_not_there(self, url: str) -> None:
        do(files(url), "write", path="a/b.txt", content="four")
        assert code_of(files(url, largest=3), "read", path="a/b.txt") == "TOO_LARGE"
        assert code_of(files(url), "read", path="a/c.txt") == "NOT_FOUND"
        assert code_of(files(url), "read", path="a") == "IS_A_FOLDER"
        assert code_of(files(url), "checksum", path="b/c") == "NOT_FOUND"

    def test_refuses_a_file_that_is_being_written_to(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("x")
        reading = LocalRoot(str(tmp_path)).opened(("a.txt",))
        reading.__enter__()
        (tmp_path / "a.txt").write_text("longer")
        with pytest.raises(TransientError, match="written to"):
            reading.__exit__(None, None, None)

    def test_says_where_a_part_of_the_path_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        assert code_of(files(tmp_path), "read", path="a/b") == "NOT_A_FOLDER"


class TestCopyStatAndDelete:
    def test_copies_within_the_root(self, url: str) -> None:
        do(files(url), "write", path="a.txt", content="x")
        for there in (False, True):
            assert do(files(url), "copy", path="a.txt", target="b/c.txt")["already_there"] is there
        assert do(files(url), "read", path="b/c.txt")["content"] == "x"

    def test_says_what_is_there(self, url: str) -> None:
        do(files(url), "write", path="a/b.txt", content="four")
        found = do(files(url), "stat", path="a/b.txt")
        assert (found["exists"], found["is_folder"], found["size"]) == (True, False, 4)
        assert abs((datetime.now(UTC) - found["modified"]).total_seconds()) < 60
        assert do(files(url), "stat", path="a")["is_folder"]
        assert not do(files(url), "stat", path="b/c.txt")["exists"]

    def test_deletes_a_file_once(self, url: str) -> None:
        do(files(url), "write", path="a/b.txt", content="x")
        assert [do(files(url), "delete", path="a/b.txt")["deleted"] for _ in range(2)] == [True, False]

    @pytest.mark.parametrize("operation", ["stat", "delete", "list"])
    def test_asks_nothing_when_the_time_is_over(self, url: str, operation: str) -> None:
        do(files(url), "write", path="a/b.txt", content="x")
        path = "a" if operation == "list" else "a/b.txt"
        assert code_of(files(url), operation, seconds=0.0, path=path) == "TIMEOUT"
        assert do(files(url), "stat", path="a/b.txt")["exists"]

    def test_deletes_no_folder_and_nothing_where_it_may_not(self, url: str) -> None:
        do(files(url), "write", path="a/b.txt", content="x")
        assert code_of(files(url), "delete", path="a") == "IS_A_FOLDER"
        assert code_of(files(url, deletable=False), "delete", path="a/b.txt") == "FILES_NOT_ALLOWED"


class TestList:
    @pytest.fixture(autouse=True)
    def tree(self, url: str) -> None:
        for path in ("b.txt", "a.csv", "c/d/e.csv", "c/f.txt", "c.txt"):
            do(files(url), "write", path=path, content="x")

    @pytest.mark.parametrize(
        ("parameters", "paths"),
        [
            ({}, ["a.csv", "b.txt", "c", "c.txt"]),
            ({"path": "c"}, ["c/d", "c/f.txt"]),
            ({"recursive": True}, ["a.csv", "b.txt", "c", "c/d", "c/d/e.csv", "c/f.txt", "c.txt"]),
            ({"recursive": True, "depth": 2}, ["a.csv", "b.txt", "c", "c/d", "c/f.txt", "c.txt"]),
            ({"recursive": True, "pattern": "*.csv"}, ["a.csv", "c/d/e.csv"]),
            ({"pattern": "[ab].???"}, ["a.csv", "b.txt"]),
            ({"pattern": "*" + "a*" * 40 + "[!"}, []),
        ],
    )
    def test_is_sorted_and_matches_names(self, url: str, parameters: dict[str, Any], paths: list[str]) -> None:
        assert [each["path"] for each in do(files(url), "list", **parameters)["entries"]] == paths

    def test_says_when_there_is_more(self, url: str) -> None:
        listed = do(files(url, most_entries=2), "list", recursive=True)
        assert ([each["name"] for each in listed["entries"]], listed["truncated"]) == (["a.csv", "b.txt"], True)
        assert not do(files(url, most_entries=4), "list")["truncated"]

    def test_looks_at_so_many_names_only(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "MOST_LOOKED_AT", 3)
        listed = do(files(url), "list", recursive=True)
        assert (len(listed["entries"]) <= 3, listed["truncated"]) == (True, True)

    def test_opens_no_further_folder_when_it_has_looked_at_enough(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("x", "y", "z"):
            do(files(tmp_path), "write", path=f"full/{name}/a.txt", content="x")
        opened: list[tuple[str, ...]] = []
        children = LocalRoot.children

        def counted(root: LocalRoot, parts: tuple[str, ...]) -> Iterator[Entry]:
            opened.append(parts)
            return children(root, parts)

        monkeypatch.setattr(listing, "MOST_LOOKED_AT", 3)
        monkeypatch.setattr(LocalRoot, "children", counted)
        assert do(files(tmp_path), "list", path="full", recursive=True)["truncated"]
        assert opened == [("full",), ("full", "x")]

    def test_stops_between_folders_and_names_when_the_time_is_over(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for looks in range(1, 8):  # the call is asked before the root, before each folder, and at each name
            left = iter([1.0] * looks + [0.0])
            monkeypatch.setattr(Call, "remaining", lambda _, left=left: next(left))
            assert code_of(files(url), "list", recursive=True) == "TIMEOUT"

    def test_is_of_a_folder(self, url: str) -> None:
        assert code_of(files(url), "list", path="z") == "NOT_FOUND"
        assert code_of(files(url), "list", path="b.txt") == "NOT_A_FOLDER"

    def test_leaves_hidden_names_out(self, url: str) -> None:
        do(files(url, hidden=True), "write", path=".env", content="x")
        listed = do(files(url), "list")
        assert (".env" in {each["name"] for each in listed["entries"]}, listed["left_out"]) == (False, 1)


class TestHealthCheck:
    def test_tries_to_write_where_it_should_be_possible(self, url: str) -> None:
        health = files(url).health_check()
        assert (health.is_well, health.detail) == (True, f"{url}, writable")
        assert do(files(url, hidden=True), "list")["entries"] == []

    def test_says_that_a_root_is_not_there(self, tmp_path: Path) -> None:
        health = files(tmp_path / "share", writable=False).health_check()
        assert not health.is_well
        assert health.detail.endswith("the root of the connection is not there, or no folder; make or mount it")

    def test_says_that_there_is_no_driver(self) -> None:
        health = files("nosuchthing://user:word@host/out").health_check()
        assert (health.is_well, health.detail) == (False, f"nosuchthing://host/out: {NO_DRIVER}")


class TestFaults:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (OSError(errno.ENOSPC, "x"), "DISK_FULL"),
            (OSError(errno.EDQUOT, "x"), "DISK_FULL"),
            (OSError(errno.EIO, "x"), "FILES_UNREACHABLE"),
            (OSError(errno.ESTALE, "x"), "FILES_UNREACHABLE"),
            (TimeoutError("x"), "FILES_UNREACHABLE"),
            (OSError(errno.EROFS, "x"), "ACCESS_DENIED"),
            (PermissionError("from a driver"), "ACCESS_DENIED"),
            (FileNotFoundError("from a driver"), "NOT_FOUND"),
            (OSError(errno.ENAMETOOLONG, "x"), "PATH_DENIED"),
            (OSError(errno.EFBIG, "x"), "TOO_LARGE"),
        ],
    )
    def test_are_told_apart(self, error: OSError, code: str) -> None:
        assert getattr(of(error, "/srv/out"), "code", "") == code

    def test_of_a_driver_are_another_try_and_not_quoted(self) -> None:
        with pytest.raises(TransientError, match=r"^s3://out: RuntimeError$"), translated_driver("s3://out"):
            raise RuntimeError("https://signed.example/?token=secret")
