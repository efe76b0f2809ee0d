"""The settings a command runs with: the environment, and below it the addresses of the local stack while it is up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from procos.settings import alias_conflicts, load_settings

if TYPE_CHECKING:
    from procos.settings import Settings


def settings() -> Settings:
    """Read the settings, and warn of aliases that contradict them.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    environ = os.environ  # noqa: TID251  # the command line is where the environment comes in
    for warning in alias_conflicts(environ):
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    return load_settings(environ)
