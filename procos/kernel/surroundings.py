"""Where a command or a program finds the parts: what the user set, and below it the local stack while it is up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procos.kernel.state import stack_environment
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.settings import Settings


def environment() -> Mapping[str, str]:
    """Return the environment for a program or a child of ours: what the user set wins over the running stack's.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    given = os.environ  # noqa: TID251  # this is where the environment comes in
    own = load_settings(given)
    stack = stack_environment(own.state_directory)
    return {**{name: value for name, value in stack.items() if not own.is_set(name)}, **given}


def settings_here() -> Settings:
    """Return the settings of that environment."""
    return load_settings(environment())
