"""In-memory twins of what the bridge talks to, for tests that need no service and never sleep.

`FakeEngine` and `FakeLedger` pass the same contract cases as a real engine and the ledger on Redis, so a test that
passes with them says something about the real ones. `StepRunner` takes a step through the whole of ProcOS on them;
`procos.testing.plugin` hands them to pytest. Each name is imported when it is first asked for, since pytest loads the
plug-in at every start. Imported by tests only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procos.testing.clock import FrozenClock, InstantStop
    from procos.testing.engine import FakeEngine
    from procos.testing.ledger import FakeLedger
    from procos.testing.models import ModelStep, model_steps
    from procos.testing.publisher import RecordingPublisher
    from procos.testing.registry import FakeRegistry, Register
    from procos.testing.runner import StepResult, StepRunner
    from procos.testing.samples import dispatch_ref, external_task, typed

__all__ = [
    "FakeEngine",
    "FakeLedger",
    "FakeRegistry",
    "FrozenClock",
    "InstantStop",
    "ModelStep",
    "RecordingPublisher",
    "Register",
    "StepResult",
    "StepRunner",
    "dispatch_ref",
    "external_task",
    "model_steps",
    "typed",
]

_HOMES = {
    "FakeEngine": "engine",
    "FakeLedger": "ledger",
    "FakeRegistry": "registry",
    "FrozenClock": "clock",
    "InstantStop": "clock",
    "ModelStep": "models",
    "RecordingPublisher": "publisher",
    "Register": "registry",
    "StepResult": "runner",
    "StepRunner": "runner",
    "dispatch_ref": "samples",
    "external_task": "samples",
    "model_steps": "models",
    "typed": "samples",
}


def __getattr__(name: str) -> object:
    """Import a name from the file that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
