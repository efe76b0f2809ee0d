"""Topic file_operation against hostile steps: paths that want out, things in the root that lead out, odd orders."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, TaskError
from tests.tasks.files_roots import SECRET, Surroundings, do, files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATHS = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "three_dots": "...",
    "up": "../secret.txt",
    "up_into_outside": "../outside/secret.txt",
    "up_from_below": "inner/../../secret.txt",
    "up_and_back": "../given/file.txt",
    "up_in_the_middle": "inner/../file.txt",
    "up_at_the_end": "inner/..",
    "dot_first": "./file.txt",
    "dot_in_the_middle": "inner/./file.txt",
    "up_many": "../" * 20 + "etc/passwd",
    "absolute": "/etc/passwd",
    "absolute_root": "/",
    "absolute_twice": "//etc/passwd",
    "empty_part": "inner//file.txt",
    "slash_at_the_end": "inner/",
    "backslash": "..\\secret.txt",
    "backslash_inside": "inner\\..\\..\\secret.txt",
    "backslash_alone": "\\",
    "share": "\\\\host\\share\\file.txt",
    "drive": "C:\\Windows\\win.ini",
    "drive_posix": "C:/Windows/win.ini",
    "drive_relative": "C:file.txt",
    "stream": "file.txt:secret",
    "stream_data": "file.txt::$DATA",
    "device_con": "CON",
    "device_with_ending": "inner/nul.txt",
    "device_port": "Com1",
    "device_superscript": "COM\u00b9",
    "nul": "file.txt\0",
    "nul_cuts": "file.txt\0.jpg",
    "nul_up": "..\0/secret.txt",
    "newline": "file.txt\n",
    "carriage_return": "a\rb",
    "escape": "\x1b[2Jfile.txt",
    "delete_sign": "a\x7fb",
    "c1_control": "a\x85b",
    "line_separator": "a\u2028b",
    "home": "~/secret.txt",
    "home_of_root": "~root/.ssh/id_rsa",
    "home_below": "inner/~",
    "url_file": "file:///etc/passwd",
    "url_http": "http://127.0.0.1/secret",
    "url_s3": "s3://bucket/key",
    "url_chained": "simplecache::file:///etc/passwd",
    "url_memory": "memory://secret.txt",
    "encoded_dots": "%2e%2e/secret.txt",
    "encoded_slash": "..%2fsecret.txt",
    "encoded_twice": "%252e%252e/secret.txt",
    "encoded_nul": "file.txt%00.jpg",
    "encoded_overlong": "%c0%ae%c0%ae/secret.txt",
    "fullwidth_dots": "\uff0e\uff0e/secret.txt",
    "fullwidth_slash": "..\uff0fsecret.txt",
    "fullwidth_backslash": "..\uff3csecret.txt",
    "fullwidth_percent": "\uff05\uff12\uff45",
    "leader_dots": "\u2025/secret.txt",
    "ellipsis": "\u2026",
    "vulgar_fraction_slash": "\u2100",
    "right_to_left": "file\u202etxt.exe",
    "zero_width": ".\u200b./secret.txt",
    "byte_order_mark": "\ufefffile.txt",
    "half_surrogate": "\ud800",
    "escaped_byte": "\udc2e\udc2e/secret.txt",
    "blank": " ",
    "blank_before": " ../secret.txt",
    "blank_after": ".. /secret.txt",
    "no_break_space": "a\u00a0b",
    "dot_after": "file.txt.",
    "wildcard": "*",
    "wildcard_below": "inner/*.txt",
    "question_mark": "file.tx?",
    "pipe": "|id",
    "redirect": ">file.txt",
    "hidden": ".env",
    "hidden_folder": ".git/hooks/post-commit",
    "draft": ".procos-0.part",
    "long_name": "x" * 256,
    "long_name_in_bytes": "\u00e4" * 128,
    "long_path": "a/" * 600 + "b",
    "many_parts": "a/" * 40 + "b",
    "very_long": "../" * 100_000,
    "proc": "/proc/self/environ",
}
OPERATIONS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "read": lambda path: {"path": path},
    "write": lambda path: {"path": path, "content": "x", "overwrite": "replace"},
    "stat": lambda path: {"path": path},
    "checksum": lambda path: {"path": path},
    "delete": lambda path: {"path": path},
    "copy_from": lambda path: {"path": path, "target": "copy.txt"},
    "copy_to": lambda path: {"path": "file.txt", "target": path, "overwrite": "replace"},
    "list": lambda path: {"path": path or ".."},
}


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings.made(tmp_path)


def refused(service: Any, operation: str, path: str) -> TaskError:
    with pytest.raises(TaskError) as raised:
        do(service, operation.partition("_")[0], **OPERATIONS[operation](path))
    return raised.value


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
class TestPath:
    def test_that_is_none_is_refused_by_every_operation(self, surroundings: Surroundings, path: str) -> None:
        before, root = surroundings.seen(), sorted(surroundings.root.rglob("*"))
        for operation in OPERATIONS:
            error = refused(files(surroundings.root), operation, path)
            assert isinstance(error, BusinessError)
            assert (error.code, error.message.partition(":")[0]) == (
                "PATH_DENIED",
                "target" if operation == "copy_to" else "path",
            )
            assert len(path) < 3 or path not in str(error), "the text of a path is not repeated"
        assert (surroundings.seen(), sorted(surroundings.root.rglob("*"))) == (before, root)

    def test_that_is_none_is_refused_for_stores_too(self, path: str) -> None:
        for operation in OPERATIONS:
            assert getattr(refused(files("memory://hostile"), operation, path), "code", "") == "PATH_DENIED"


def link_to_file(around: Surroundings) -> str:
    (around.root / "bad").symlink_to(around.outside / "secret.txt")
    return "bad"


def link_by_relative_path(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("../secret.txt")
    return "bad"


def link_to_nothing_outside(around: Surroundings) -> str:
    (around.root / "bad").symlink_to(around.outside / "new.txt")
    return "bad"


def link_to_inside(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("file.txt")
    return "bad"


def link_to_itself(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("bad")
    return "bad"


def link_to_open_files(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("/proc/self/environ")
    return "bad"


def link_to_folder(around: Surroundings) -> str:
    (around.root / "bad").symlink_to(around.outside)
    return "bad/secret.txt"


def link_to_folder_of_new_files(around: Surroundings) -> str:
    (around.root / "bad").symlink_to(around.outside)
    return "bad/deeper/new.txt"


def link_to_root_of_all(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("/")
    return "bad/etc/passwd"


def link_to_own_process(around: Surroundings) -> str:
    (around.root / "bad").symlink_to("/proc/self")
    return "bad/environ"


def link_to_folder_above(around: Surroundings) -> str:
    (around.root / "inner/bad").symlink_to("../..")
    return "inner/bad/secret.txt"


def link_over_links(around: Surroundings) -> str:
    (around.root / "one").symlink_to("inner")
    (around.root / "inner/two").symlink_to(around.around)
    return "one/two/secret.txt"


def pipe(around: Surroundings) -> str:
    os.mkfifo(around.root / "bad")
    return "bad"


def pipe_on_the_way(around: Surroundings) -> str:
    os.mkfifo(around.root / "bad")
    return "bad/file.txt"


def unix_socket(around: Surroundings) -> str:
    here = os.open(around.root, os.O_RDONLY)
    try:  # by a short name: the address of a socket has at most 107 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/bad")
    finally:
        os.close(here)
    return "bad"


THINGS = (
    link_to_file, link_by_relative_path, link_to_nothing_outside, link_to_inside, link_to_itself, link_to_open_files,
    link_to_folder, link_to_folder_of_new_files, link_to_root_of_all, link_to_own_process, link_to_folder_above,
    link_over_links, pipe, pipe_on_the_way, unix_socket,
)  # fmt: skip


@pytest.mark.timeout(10)
@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.__name__)
class TestThingInTheRoot:
    def test_is_not_followed_opened_or_waited_for(
        self, surroundings: Surroundings, thing: Callable[[Surroundings], str]
    ) -> None:
        path, service = thing(surroundings), files(surroundings.root)
        before = surroundings.seen()
        for operation in OPERATIONS:
            error = refused(service, operation, path)
            assert isinstance(error, BusinessError)
            assert error.code == "PATH_DENIED"
        assert surroundings.seen() == before

    def test_is_not_listed(self, surroundings: Surroundings, thing: Callable[[Surroundings], str]) -> None:
        thing(surroundings)
        listed = do(files(surroundings.root), "list", recursive=True)
        assert {each["path"] for each in listed["entries"]} == {"file.txt", "inner", "inner/file.txt"}
        assert listed["left_out"] == (2 if thing is link_over_links else 1)


class TestHardLink:
    def test_to_the_outside_is_not_read(self, surroundings: Surroundings) -> None:
        os.link(surroundings.outside / "secret.txt", surroundings.root / "bad")
        for operation in ("read", "checksum", "copy_from"):
            assert getattr(refused(files(surroundings.root), operation, "bad"), "code", "") == "PATH_DENIED"

    @pytest.mark.parametrize("hard_links", [True, False])
    def test_to_the_outside_is_never_written_through(self, surroundings: Surroundings, *, hard_links: bool) -> None:
        os.link(surroundings.outside / "secret.txt", surroundings.root / "bad")
        do(files(surroundings.root, hard_links=hard_links), "write", path="bad", content="x", overwrite="replace")
        assert (surroundings.outside / "secret.txt").read_text() == SECRET
        assert (surroundings.root / "bad").read_text() == "x"


ORDERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "unknown_operation": ("chmod", {"path": "file.txt"}),
    "method_of_python": ("__init__", {"path": "file.txt"}),
    "health_check": ("health_check", {}),
    "unknown_parameter": ("read", {"path": "file.txt", "root": "/"}),
    "path_as_list": ("read", {"path": ["..", "secret.txt"]}),
    "path_as_number": ("read", {"path": 0}),
    "path_is_null": ("read", {"path": None}),
    "codec_that_unpacks": ("read", {"path": "file.txt", "encoding": "zlib"}),
    "codec_that_is_slow": ("read", {"path": "file.txt", "encoding": "punycode"}),
    "codec_that_decodes": ("write", {"path": "a", "content": "x", "encoding": "unicode_escape"}),
    "overwrite_unknown": ("write", {"path": "a", "content": "x", "overwrite": "append"}),
    "nothing_to_write": ("write", {"path": "a"}),
    "two_things_to_write": ("write", {"path": "a", "content": "x", "json": {"a": 1}}),
    "content_as_number": ("write", {"path": "a", "content": 1}),
    "content_with_half_surrogate": ("write", {"path": "a", "content": "\ud800"}),
    "content_the_encoding_lacks": ("write", {"path": "a", "content": "\u20ac", "encoding": "us-ascii"}),
    "json_that_is_none": ("write", {"path": "a", "json": "{"}),
    "json_not_a_number": ("write", {"path": "a", "json": {"a": float("nan")}}),
    "json_without_end": ("write", {"path": "a", "json": "[" * 100_000}),
    "json_with_half_surrogate": ("write", {"path": "a", "json": ["\ud800"]}),
    "blob_of_another_store": ("write", {"path": "a", "content": {"procos_blob": 1, "key": "../../etc/passwd"}}),
    "pattern_too_long": ("list", {"pattern": "*a" * 100}),
    "pattern_empty": ("list", {"pattern": ""}),
    "depth_of_nothing": ("list", {"recursive": True, "depth": 0}),
    "depth_too_large": ("list", {"recursive": True, "depth": 10**9}),
}


@pytest.mark.parametrize(("operation", "parameters"), ORDERS.values(), ids=ORDERS.keys())
class TestOrder:
    def test_that_cannot_be_is_refused(
        self, surroundings: Surroundings, operation: str, parameters: dict[str, Any]
    ) -> None:
        before = sorted(surroundings.root.rglob("*"))
        with pytest.raises(BusinessError) as raised:
            do(files(surroundings.root), operation, **parameters)
        assert raised.value.code == "INVALID_INPUT"
        assert sorted(surroundings.root.rglob("*")) == before


ADDRESSES = {
    "chained": "simplecache://::file:///srv/out",
    "chained_into_archive": "zip://a.zip::file:///srv/out",
    "relative": "file://out",
    "home": "local://~/out",
    "with_nul": "/srv/out\0/etc",
}


@pytest.mark.parametrize("url", ADDRESSES.values(), ids=ADDRESSES.keys())
class TestAddress:
    def test_that_is_no_root_is_an_operators_mistake(self, url: str) -> None:
        with pytest.raises(PermanentError) as raised:
            files(url)
        assert raised.value.code == "CONNECTION_INVALID"
