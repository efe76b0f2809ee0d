"""Where the processes that come with ProcOS are: beside its packages, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path


def shipped_processes() -> Path:
    """Return the folder of the shipped processes, one folder each with its `model.bpmn`."""
    return Path(__file__).resolve().parents[1] / "processes"
