"""What tests of hostile variables share: how a step with them ends, and variables that are anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def ending_of(step: Callable[[], object], *, secret: str = "") -> str:
    """Return how a step ends: the code of its error, nothing where it has none, or that an error tells the secret."""
    try:
        step()
    except ValidationError:
        return "INVALID_INPUT"
    except TaskError as error:
        return "SECRET_TOLD" if secret and secret in str(error) else str(getattr(error, "code", "RATE_LIMITED"))
    return ""
