"""What adapters of services on the web say of a service that fails."""

from __future__ import annotations

import pytest

from procos.domain.errors import PermanentError, TransientError
from tasks.adapters.web import broken

LATER = {"retry-after": "5"}


class TestUnavailable:
    @pytest.mark.parametrize(("is_repeatable", "headers"), [(True, {}), (True, LATER), (False, LATER)])
    def test_is_another_try(self, *, is_repeatable: bool, headers: dict[str, str]) -> None:
        error = broken("create_issue", 503, is_repeatable=is_repeatable, headers=headers)
        assert isinstance(error, TransientError)
        assert error.code == "UNAVAILABLE"

    def test_leaves_open_what_became_of_what_must_not_be_done_twice(self) -> None:
        error = broken("create_issue", 503, is_repeatable=False, headers={"server": "a proxy"})
        assert isinstance(error, PermanentError)
        assert error.code == "OUTCOME_UNKNOWN"
