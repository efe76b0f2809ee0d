"""The settings a command runs with: the environment, and below it the addresses of the local stack while it is up."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from procos.environment_names import alias_conflicts
from procos.kernel.state import stack_environment
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.settings import Settings


def settings() -> Settings:
    """Read the settings, and warn of aliases that contradict them.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    for warning in alias_conflicts():
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    return load_settings(environment())


def environment() -> Mapping[str, str]:
    """Return the environment for a command or a child of ours: what the user set wins over the running stack's."""
    given = os.environ  # noqa: TID251  # the command line is where the environment comes in
    own = load_settings(given)
    stack = stack_environment(own.state_directory)
    return {**{name: value for name, value in stack.items() if not own.is_set(name)}, **given}


@click.command()
def env() -> None:
    """Print the running stack's settings for a shell, credentials included: eval "$(procos env)"."""
    own = load_settings()
    for name, value in sorted(stack_environment(own.state_directory).items()):
        click.echo(f"export {name}={shlex.quote(value)}")
