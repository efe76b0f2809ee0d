"""The entry point `procos`: finds the command, runs it, and turns every anticipated error into its exit code.

Commands are imported when they are called, so that `procos --help` stays quick. Exit codes are a contract:
0 success, 1 the process or check failed, 2 usage or configuration, 3 a part is unreachable.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import click
from click_didyoumean import DYMMixin

from procos import __version__
from procos.domain.errors import ProcosError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("procos.cli.stack:up", "Start the local stack and watch over it."),
    "down": ("procos.cli.stack:down", "Stop the local stack."),
    "status": ("procos.cli.stack:status", "Show each part of the local stack, its queues and what is in flight."),
    "deploy": ("procos.cli.models:deploy", "Deploy process models; unchanged models make no new version."),
    "new": ("procos.cli.new:new", "Make a starting point: `procos new task NAME`."),
    "templates": ("procos.cli.templates:templates", "Write element templates for Camunda Modeler."),
    "processes": ("procos.cli.processes:processes", "List the deployed processes, what runs and what waits."),
    "run": ("procos.cli.run:run", "Start a process, show its steps, print its result."),
    "request": ("procos.cli.request:request", "Ask the system for something, print the answer."),
    "scenario": ("procos.cli.scenario:scenario", "Tell a story of the system at work: startup, ai-query."),
    "routes": ("procos.cli.routes:routes", "List every topic: task, queue, lease and retries."),
    "adapters": ("procos.cli.adapters:adapters", "List the kinds of services a connection may lead to."),
    "incidents": ("procos.cli.incidents:incidents", "List the steps that wait for a person, and why."),
    "retry": ("procos.cli.retry:retry", "Try steps again that wait for a person."),
    "doctor": ("procos.cli.doctor.command:doctor", "Check settings and services; each finding names its cure."),
    "dead-letters": ("procos.cli.dead_letters:dead_letters", "List the messages nobody could process, and why."),
    "replay": ("procos.cli.dead_letters:replay", "Send dead letters once more to the queues they came from."),
    "blobs": ("procos.cli.blobs:blobs", "Show what the blob store holds; `procos blobs prune` removes what is old."),
    "env": ("procos.cli.environment:env", "Print the running stack's settings for a shell."),
    "kernel": ("procos.cli.parts:kernel", "Boot the system and watch over its engine in the foreground."),
    "bridge": ("procos.cli.parts:bridge", "Run the bridge in the foreground."),
    "flower": ("procos.cli.parts:flower", "Run Flower in the foreground, behind a login."),
    "worker": ("procos.cli.parts:worker", "Run a Celery worker in the foreground."),
}


class _LazyGroup(DYMMixin, click.Group):  # type: ignore[misc]  # click-didyoumean is untyped
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # the same
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # the same
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="procos")
def cli() -> None:
    """ProcOS runs BPMN processes on a Camunda 7 engine with Celery workers."""


def main() -> None:
    """Run the command line, and exit with the code of its outcome."""
    try:
        cli(standalone_mode=True)
    except ProcosError as error:
        click.secho(f"procos: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
