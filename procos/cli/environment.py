"""The settings a command runs with: the environment, and below it the addresses of the local stack while it is up."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from procos.environment_names import alias_conflicts
from procos.kernel.state import stack_environment
from procos.kernel.surroundings import settings_here
from procos.settings import load_settings

if TYPE_CHECKING:
    from procos.settings import Settings


def settings() -> Settings:
    """Read the settings, and warn of aliases that contradict them.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    for warning in alias_conflicts():
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    return settings_here()


@click.command()
def env() -> None:
    """Print the running stack's settings for a shell, credentials included: eval "$(procos env)"."""
    own = load_settings()
    for name, value in sorted(stack_environment(own.state_directory).items()):
        click.echo(f"export {name}={shlex.quote(value)}")
