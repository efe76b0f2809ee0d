"""Stores in memory and on disk; the same cases hold on both."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from procos.blobs import BlobStore

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1_000_000


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path / 'blobs'}"


@pytest.fixture
def store(url: str) -> BlobStore:
    return BlobStore(url, largest=LARGEST)


@pytest.fixture
def on_disk(tmp_path: Path) -> BlobStore:
    return BlobStore(f"file://{tmp_path / 'blobs'}", largest=LARGEST)
