from __future__ import annotations

import pytest

from procos.domain.addresses import without_secrets


class TestWithoutSecrets:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://:hunter2@host:6379/0", "redis://host:6379/0"),
            ("redis://host/0?password=hunter2", "redis://host/0"),
            ("rediss://user:p%40ss@host:1/2", "rediss://host:1/2"),
            ("redis://host/0", "redis://host/0"),
        ],
    )
    def test_keeps_the_address_alone(self, url: str, shown: str) -> None:
        assert without_secrets(url) == shown
