"""An engine with a password: the right one works everywhere, a wrong one says what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = 2
USER, PASSWORD = "operator", "a long engine password"


@pytest.fixture(scope="module")
def guarded(stack_factory: Callable[..., Any]) -> Any:
    return stack_factory("engine", PROCOS_ENGINE_USER=USER, PROCOS_ENGINE_PASSWORD=PASSWORD)


class TestCredentials:
    def test_are_needed(self, guarded: Any) -> None:
        assert requests.get(f"{guarded.rest}/process-definition", timeout=10).status_code == 401

    def test_let_commands_in(self, guarded: Any) -> None:
        done = guarded.procos("deploy")
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("command", [("run", "sample_noop"), ("deploy",), ("bridge",)], ids=lambda c: c[0])
    def test_that_are_wrong_end_every_command_with_the_setting_to_mend(self, guarded: Any, command: tuple[str]) -> None:
        done = guarded.procos(*command, timeout=30, PROCOS_ENGINE_PASSWORD="wrong")
        assert done.returncode == USAGE
        assert "PROCOS_ENGINE_PASSWORD" in done.stderr
        assert "wrong" not in done.stderr.replace("refuses", "")
