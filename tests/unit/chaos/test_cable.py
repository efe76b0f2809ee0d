"""The second host, where it cannot be made: the case that needs it must say why."""

from __future__ import annotations

import pytest

from tests.chaos import cable


class TestAnotherHost:
    @pytest.mark.parametrize("program", ["false", "no-such-program"])
    def test_says_why_it_cannot_be_made(self, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cable, "IP", program)
        why = r"no second host on this machine, `ip netns add \w+` failed: .*\. It takes root"
        with pytest.raises(RuntimeError, match=why), cable.another_host():
            pytest.fail("there is none")

    def test_has_names_the_kernel_takes(self) -> None:
        host = cable._named(4_194_304)
        assert len(f"{host.cable}x") <= 15
        assert host.ours != host.theirs
