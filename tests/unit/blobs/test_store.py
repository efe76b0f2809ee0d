"""The store: content goes in and comes back as it was, or says why not."""

from __future__ import annotations

import hashlib
import io
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from procos.blobs import BlobStore, blob_store
from procos.blobs.filesystem import translated
from procos.blobs.store import check_driver
from procos.domain.errors import BlobsUnreachableError, PermanentError, SettingsError, StepCancelled
from procos.settings import BlobSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procos.blobs import BlobReference

INSTANCE = "instance-1"
MEGABYTE = 1024 * 1024


def files_of(store: BlobStore) -> list[Path]:
    root = Path(store.address.removeprefix("file://"))
    return sorted(path for path in root.rglob("*") if path.is_file())


def code(caught: pytest.ExceptionInfo[PermanentError]) -> str:
    return caught.value.code


class TestPut:
    @pytest.mark.parametrize("content", [b"", b"hello", b"x" * 300_000], ids=["nothing", "little", "much"])
    def test_returns_what_finds_it_again(self, store: BlobStore, content: bytes) -> None:
        kept = store.put(content, under=INSTANCE, media_type="text/plain", name="a.txt")
        assert store.read(kept) == content
        digest = hashlib.sha256(content).hexdigest()
        assert (kept.key, kept.sha256, kept.size) == (f"{INSTANCE}/{digest}", digest, len(content))
        assert (kept.media_type, kept.name, kept.becomes) == ("text/plain", "a.txt", None)

    def test_takes_content_as_it_comes(self, store: BlobStore) -> None:
        whole = store.put(b"ab" * 1000, under=INSTANCE)
        assert store.put(io.BytesIO(b"ab" * 1000), under=INSTANCE) == whole
        assert store.put((b"ab" for _ in range(1000)), under=INSTANCE) == whole
        assert store.put(bytearray(b"ab" * 1000), under=INSTANCE) == whole

    def test_twice_is_one_blob(self, on_disk: BlobStore) -> None:
        assert on_disk.put(b"hello", under=INSTANCE) == on_disk.put(b"hello", under=INSTANCE)
        assert len(files_of(on_disk)) == 1

    def test_of_the_same_for_another_instance_is_another_blob(self, store: BlobStore) -> None:
        first, second = (store.put(b"hello", under=each) for each in ("one", "two"))
        store.remove("one")
        assert store.read(second) == b"hello"
        with pytest.raises(PermanentError):
            store.read(first)

    def test_by_many_at_once_is_one_whole_blob(self, on_disk: BlobStore) -> None:
        content = b"x" * 500_000
        with ThreadPoolExecutor(8) as pool:
            kept = list(pool.map(lambda _: on_disk.put(content, under=INSTANCE), range(16)))
        assert len(set(kept)) == 1
        assert [path.read_bytes() for path in files_of(on_disk)] == [content]

    def test_of_too_much_stops_at_once_and_keeps_nothing(self, url: str) -> None:
        store, handed_out = BlobStore(url, largest=10), []

        def pieces() -> Iterator[bytes]:
            for number in range(1000):
                handed_out.append(number)
                yield b"1234"

        with pytest.raises(PermanentError, match="PROCOS_BLOBS_LARGEST") as caught:
            store.put(pieces(), under=INSTANCE)
        assert code(caught) == "BLOB_TOO_LARGE"
        assert len(handed_out) == 3
        assert store.holdings() == []

    def test_that_breaks_off_keeps_nothing(self, store: BlobStore) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"1234"
            raise StepCancelled("cancelled")

        with pytest.raises(StepCancelled):
            store.put(pieces(), under=INSTANCE)
        assert store.holdings() == []

    def test_shows_a_blob_to_nobody_before_it_is_whole(self, on_disk: BlobStore) -> None:
        seen: list[str] = []

        def pieces() -> Iterator[bytes]:
            yield b"1234"
            seen.extend(path.name for path in files_of(on_disk))
            yield b"5678"

        kept = on_disk.put(pieces(), under=INSTANCE)
        assert [name.endswith(".part") for name in seen] == [True]
        assert [path.name for path in files_of(on_disk)] == [kept.sha256]

    def test_mends_one_that_is_damaged(self, on_disk: BlobStore) -> None:
        kept = on_disk.put(b"hello", under=INSTANCE)
        files_of(on_disk)[0].write_bytes(b"jello")
        on_disk.put(b"hello", under=INSTANCE)
        assert on_disk.read(kept) == b"hello"

    @pytest.mark.parametrize("instance_id", ["..", "a/b", ""])
    def test_makes_no_folder_that_no_instance_is_called_by(self, store: BlobStore, instance_id: str) -> None:
        with pytest.raises(PermanentError):
            store.put(b"hello", under=instance_id)

    def test_where_a_target_that_is_there_is_refused_is_content_with_it(
        self, on_disk: BlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fsspec.implementations.local import LocalFileSystem

        kept = on_disk.put(b"hello", under=INSTANCE)

        def refuse(*_: object, **__: object) -> None:
            raise FileExistsError

        monkeypatch.setattr(LocalFileSystem, "mv", refuse)
        assert on_disk.put(b"hello", under=INSTANCE) == kept
        assert len(files_of(on_disk)) == 1
        with pytest.raises(BlobsUnreachableError):
            on_disk.put(b"other", under=INSTANCE)
        assert len(files_of(on_disk)) == 1


class TestRead:
    def test_in_pieces_gives_what_was_put(self, store: BlobStore) -> None:
        kept = store.put(b"one\ntwo\nthree", under=INSTANCE)
        with store.open(kept) as stream:
            assert stream.read(5) == b"one\nt"
            assert stream.readline() == b"wo\n"
            assert stream.read() == b"three"
            assert stream.read() == b""

    @pytest.mark.parametrize("damage", [b"jello", b"hell", b"hello!", b""])
    def test_of_other_content_is_an_error(self, on_disk: BlobStore, damage: bytes) -> None:
        kept = on_disk.put(b"hello", under=INSTANCE)
        files_of(on_disk)[0].write_bytes(damage)
        with pytest.raises(PermanentError, match="damaged") as caught:
            on_disk.read(kept)
        assert code(caught) == "BLOB_DAMAGED"

    def test_hands_out_no_last_piece_that_is_wrong(self, on_disk: BlobStore) -> None:
        kept = on_disk.put(b"hello", under=INSTANCE)
        files_of(on_disk)[0].write_bytes(b"jello")
        with on_disk.open(kept) as stream, pytest.raises(PermanentError):
            stream.read(5)

    def test_of_what_is_not_there_is_an_error_that_names_it(self, store: BlobStore) -> None:
        kept = store.put(b"hello", under=INSTANCE)
        store.put(b"other", under=INSTANCE)
        gone = kept.model_copy(update={"key": f"other/{kept.sha256}"})
        with pytest.raises(PermanentError, match=f"other/{kept.sha256}") as caught:
            store.open(gone)
        assert code(caught) == "BLOB_MISSING"

    def test_of_a_store_that_is_not_there_may_pass_another_time(self, tmp_path: Path, on_disk: BlobStore) -> None:
        kept = on_disk.put(b"hello", under=INSTANCE)
        (tmp_path / "blobs").rename(tmp_path / "unmounted")
        with pytest.raises(BlobsUnreachableError, match="no such folder"):
            on_disk.read(kept)
        (tmp_path / "unmounted").rename(tmp_path / "blobs")
        assert on_disk.read(kept) == b"hello"

    def test_of_more_than_wanted_is_refused_before_it_is_read(self, store: BlobStore) -> None:
        kept = store.put(b"hello", under=INSTANCE)
        assert store.read(kept, largest=5) == b"hello"
        with pytest.raises(PermanentError) as caught:
            store.read(kept, largest=4)
        assert code(caught) == "BLOB_TOO_LARGE"


class TestMemory:
    def test_stays_small_however_large_a_blob_is(self, tmp_path: Path) -> None:
        store, piece = BlobStore(f"file://{tmp_path}", largest=200 * MEGABYTE), bytes(MEGABYTE)
        tracemalloc.start()
        try:
            kept = store.put((piece for _ in range(100)), under=INSTANCE)
            with store.open(kept) as stream:
                size = sum(len(each) for each in iter(lambda: stream.read(MEGABYTE), b""))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        store.remove(INSTANCE)
        assert size == 100 * MEGABYTE
        assert peak < 8 * MEGABYTE


class Failing:
    """A file system that fails in a way of its own."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


class TestUnreachable:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (PermissionError(13, "Permission denied"), "PermissionError: Permission denied"),
            (ConnectionResetError("secret=hunter2"), "ConnectionResetError"),
            (RuntimeError("https://signed?token=hunter2"), "RuntimeError"),
        ],
    )
    def test_store_may_answer_another_time(self, store: BlobStore, error: Exception, reason: str) -> None:
        kept = store.put(b"hello", under=INSTANCE)
        for call in (lambda: store.put(b"a", under=INSTANCE), lambda: store.read(kept), store.holdings):
            store._opened = (Failing(error), "/root")
            with pytest.raises(BlobsUnreachableError) as caught:
                call()
            assert caught.value.reason == reason
            assert "hunter2" not in str(caught.value)
        assert store.read(kept) == b"hello"  # opened anew

    @pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), StepCancelled("cancelled"), MemoryError()])
    def test_is_not_what_a_task_is_interrupted_by(self, error: Exception) -> None:
        with pytest.raises(type(error)), translated("memory://"):
            raise error

    def test_store_is_named_without_its_secrets(self) -> None:
        assert BlobStore("sftp://user:hunter2@host/blobs?key=x", largest=1).address == "sftp://host/blobs"


class TestSettings:
    def test_without_an_address_are_refused_and_named(self) -> None:
        with pytest.raises(SettingsError, match="PROCOS_BLOBS_URL"):
            blob_store(BlobSettings())

    @pytest.mark.parametrize("url", ["nothing://here", "s3://bucket/blobs"])
    def test_of_a_store_without_a_driver_are_refused_and_named(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(SettingsError, match="PROCOS_BLOBS_URL"):
            check_driver(BlobSettings(url=url))

    def test_of_a_store_with_one_are_taken(self, url: str) -> None:
        check_driver(BlobSettings(url=url))
        check_driver(BlobSettings())

    def test_lead_to_one_store_for_all_of_a_process(self, url: str) -> None:
        assert blob_store(BlobSettings(url=url)) is blob_store(BlobSettings(url=url))


class TestProbe:
    def test_leaves_nothing(self, on_disk: BlobStore) -> None:
        on_disk.probe()
        assert files_of(on_disk) == []

    def test_finds_a_store_that_does_not_keep_what_it_is_given(
        self, on_disk: BlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = BlobStore.put

        def forgetful(self: BlobStore, content: bytes, **options: Any) -> BlobReference:
            kept = put(self, content, **options)
            for path in files_of(self):
                path.unlink()
            return kept

        monkeypatch.setattr(BlobStore, "put", forgetful)
        with pytest.raises(PermanentError, match="is not in the store"):
            on_disk.probe()
