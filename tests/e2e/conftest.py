"""Stacks for the end-to-end tests; a missing program skips them on a laptop and fails them in CI."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.availability import require
from tests.local_stack import LocalStack, missing_program, running_stack, wait_until
from tests.scripted_provider import ScriptedProvider, scripted_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


STACK_SECONDS = 600
"""A test's limit includes the stack it waits for, and on a new machine the engine is built first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time a stack takes."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.timeout(STACK_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let what we start be interrupted, also when we were started in the background, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """What a stack is made of is installed."""
    require(missing_program())


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    return wait_until


@pytest.fixture(scope="session")
def script() -> Iterator[ScriptedProvider]:
    """A provider beside the real one, called `scripted`, that does as it is told."""
    with scripted_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, script: ScriptedProvider) -> Iterator[LocalStack]:
    """Every part, with the processes and the sample models deployed."""
    further = {"PROCOS_PROVIDERS__SCRIPTED__URL": script.url, "PROCOS_PROVIDERS__SCRIPTED__MODEL": "script"}
    with running_stack(tmp_path_factory.mktemp("stack"), **further) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalStack]]:
    """Stacks of the named parts alone, stopped at the end of the module."""
    with ExitStack() as running:

        def start(*parts: str, **settings: str) -> LocalStack:
            return running.enter_context(running_stack(tmp_path_factory.mktemp("stack"), *parts, **settings))

        yield start


@pytest.fixture(scope="session")
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
