"""In-memory twins of what the bridge talks to, for tests that need no service and never sleep.

`FakeEngine` and `FakeLedger` pass the same contract cases as a real engine and the ledger on Redis, so a test that
passes with them says something about the real ones. Imported by tests only.
"""

from procos.testing.clock import FrozenClock, InstantStop
from procos.testing.engine import FakeEngine
from procos.testing.ledger import FakeLedger
from procos.testing.publisher import RecordingPublisher
from procos.testing.registry import FakeRegistry, Register
from procos.testing.samples import dispatch_ref, external_task, typed

__all__ = [
    "FakeEngine",
    "FakeLedger",
    "FakeRegistry",
    "FrozenClock",
    "InstantStop",
    "RecordingPublisher",
    "Register",
    "dispatch_ref",
    "external_task",
    "typed",
]
