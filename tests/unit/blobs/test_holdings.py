"""What a store holds, what is removed from it, and what is none of ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from procos.blobs.holdings import Holding, holdings_in
from procos.blobs.pruning import Ending, Fate, doomed
from procos.domain.errors import PermanentError

if TYPE_CHECKING:
    from procos.blobs import BlobStore

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
HASH = "ab" * 32


def root_of(store: BlobStore) -> Path:
    return Path(store.address.removeprefix("file://"))


class TestHoldings:
    def test_are_gathered_by_instance_the_largest_first(self, store: BlobStore) -> None:
        store.put(b"a", under="small")
        for content in (b"bbb", b"cccc"):
            store.put(content, under="root:large")
        first, second = store.holdings()
        assert (first.process_instance_id, first.blobs, first.size) == ("root:large", 2, 7)
        assert (second.process_instance_id, second.blobs, second.size) == ("small", 1, 1)
        assert first.youngest is not None
        assert abs(datetime.now(UTC) - first.youngest) < DAY

    def test_of_a_store_that_holds_nothing_are_none(self, store: BlobStore) -> None:
        assert store.holdings() == []

    def test_are_ours_alone(self, on_disk: BlobStore) -> None:
        on_disk.put(b"a", under="instance-1")
        for name in ("readme.txt", "instance-1/notes.txt", f"deep/er/still/{HASH}.bak", f"instance-1/{HASH[:-1]}"):
            path = root_of(on_disk) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("not ours")
        assert [(each.process_instance_id, each.blobs) for each in on_disk.holdings()] == [("instance-1", 1)]

    @pytest.mark.parametrize(
        ("facts", "youngest"),
        [
            ({"mtime": NOW.timestamp()}, NOW),
            ({"LastModified": NOW}, NOW),
            ({"modified": NOW.replace(tzinfo=None)}, NOW),
            ({"updated": "2026-11-23T00:00:00Z"}, NOW),
            ({"created": "some day"}, None),
            ({}, None),
        ],
    )
    def test_know_their_age_as_far_as_a_driver_tells(self, facts: dict[str, object], youngest: datetime | None) -> None:
        (found,) = holdings_in({f"bucket/i/{HASH}": {"size": 1, **facts}})
        assert found.youngest == youngest


class TestRemove:
    def test_takes_an_instances_blobs_and_broken_writes_and_nothing_else(self, on_disk: BlobStore) -> None:
        on_disk.put(b"a", under="one")
        kept = on_disk.put(b"b", under="two")
        (root_of(on_disk) / "one" / f"{'0' * 32}.part").write_bytes(b"broken off")
        (root_of(on_disk) / "two" / "notes.txt").write_text("not ours")
        on_disk.remove("one")
        assert not (root_of(on_disk) / "one").exists()
        assert on_disk.read(kept) == b"b"
        on_disk.remove("two")
        assert [path.name for path in (root_of(on_disk) / "two").iterdir()] == ["notes.txt"]

    def test_of_what_is_not_there_is_no_error(self, store: BlobStore) -> None:
        store.remove("nobody")

    def test_of_what_is_no_instance_is_refused(self, store: BlobStore) -> None:
        with pytest.raises(PermanentError):
            store.remove("../elsewhere")


def holding(name: str, youngest: datetime | None = NOW) -> Holding:
    return Holding(process_instance_id=name, blobs=1, size=1, youngest=youngest)


class TestDoomed:
    ENDINGS = {  # noqa: RUF012  # not changed
        "old": Ending(at=NOW - 9 * DAY),
        "young": Ending(at=NOW - DAY),
        "running": Ending(at=None),
    }
    HELD = tuple(map(holding, ("old", "young", "running", "stranger")))

    def test_are_those_of_instances_that_ended_before(self) -> None:
        (found,) = doomed(self.HELD, self.ENDINGS, before=NOW - 5 * DAY)
        assert (found.holding.process_instance_id, found.fate, found.since) == ("old", Fate.ENDED, NOW - 9 * DAY)

    def test_are_also_unknown_ones_where_that_is_asked_for(self) -> None:
        found = doomed(self.HELD, self.ENDINGS, before=NOW + DAY, unknown=True)
        assert [each.holding.process_instance_id for each in found] == ["old", "young", "stranger"]
        assert found[-1].fate is Fate.UNKNOWN

    @pytest.mark.parametrize("youngest", [NOW, None], ids=["written since", "of no known age"])
    def test_are_no_unknown_ones_that_may_be_young(self, youngest: datetime | None) -> None:
        assert doomed([holding("stranger", youngest)], {}, before=NOW - DAY, unknown=True) == []
