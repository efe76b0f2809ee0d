"""Roots to try out, with a tree around them that must never be touched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.adapters.files.adapter import Files
from tasks.adapters.files.roots import FilesConnection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET = "nobody's business"


def files(url: str | Path, **fields: Any) -> Files:
    """Return a root in which all is allowed, as far as nothing else is said."""
    return Files(FilesConnection(**{"type": "files", "url": str(url), "writable": True, "deletable": True, **fields}))


def do(service: Files, operation: str, seconds: float = 60.0, **parameters: Any) -> Mapping[str, Any]:
    """Do one operation, as a step would."""
    return service.call_service(operation, parameters, deadline=time.monotonic() + seconds, idempotency_key="step-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """A folder with a root in it, and beside that a file with a secret."""

    around: Path

    @classmethod
    def made(cls, around: Path) -> Surroundings:
        for folder in ("given", "given/inner", "outside"):
            (around / folder).mkdir()
        (around / "given/file.txt").write_text("inside")
        (around / "given/inner/file.txt").write_text("inside")
        for name in ("secret.txt", "file.txt", "new.txt.bak"):
            (around / "outside" / name).write_text(SECRET)
        (around / "secret.txt").write_text(SECRET)
        return cls(around=around)

    @property
    def root(self) -> Path:
        return self.around / "given"

    @property
    def outside(self) -> Path:
        return self.around / "outside"

    def seen(self) -> Mapping[str, tuple[object, ...]]:
        """Return all that is outside of the root: names, kinds, links, times and contents."""
        return {
            str(path.relative_to(self.around)): (
                path.lstat().st_mode,
                path.lstat().st_nlink,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() else None,
            )
            for path in [self.outside, *self.outside.rglob("*"), *self.around.iterdir()]
            if path != self.root
        }
