"""`procos scenario`: tells a story of the system at work, stage by stage, with real parts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.text import Text

from procos.cli.environment import settings
from procos.client import Client
from procos.kernel.state import StackFolder
from procos.kernel.terminal import Progress
from procos.scenarios.ai_query import QUESTION, AiQuery
from procos.scenarios.startup import startup as startup_stages
from procos.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procos.scenarios.stage import Stage

WHAT_WIDTH = 24


@click.group()
def scenario() -> None:
    """Tell a story of the system at work, with real parts."""


@scenario.command()
@click.option("--json", "as_json", is_flag=True, help="Print the stages as JSON.")
def startup(*, as_json: bool) -> None:
    """Start the system, unless it runs, in four stages: environment, kernel, workers, health."""
    chosen = load_settings()
    folder = StackFolder(chosen.state_directory)
    folder.create()
    with Progress(known=folder.state() if folder.is_running() else None) as progress:
        _tell("startup", startup_stages(chosen, folder, progress), as_json=as_json)


@scenario.command("ai-query")
@click.option("--question", default=QUESTION, show_default=True, help="What the model is asked.")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the stages as JSON.")
def ai_query(*, question: str, timeout: float, as_json: bool) -> None:
    """Ask a language model through the process ai_query_process: start, monitor, results."""
    _tell("ai-query", AiQuery(Client(settings()), question, timeout=timeout).stages(), as_json=as_json)


def _tell(name: str, stages: Iterable[Stage], *, as_json: bool) -> NoReturn:
    """Show each stage when it is over, and exit with the code of the whole."""
    console = Console(highlight=False)
    done: list[Stage] = []
    for stage in stages:
        done.append(stage)
        if not as_json:
            _show(console, len(done), stage)
    is_good = all(stage.is_good for stage in done)
    if as_json:
        click.echo(
            json.dumps({"scenario": name, "good": is_good, "stages": [each.to_json() for each in done]}, indent=2)
        )
    sys.exit(0 if is_good else 1)


def _show(console: Console, number: int, stage: Stage) -> None:
    console.print(Text(f"{number}. {stage.title}  {stage.seconds:.1f} s", style="bold"))
    for finding in stage.findings:
        mark, style = ("✓", "green") if finding.is_good else ("✗", "red")
        console.print(
            Text.assemble("   ", (mark, style), f" {finding.what:<{WHAT_WIDTH}} {finding.words}"), soft_wrap=True
        )
