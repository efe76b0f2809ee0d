"""`procos request`: asks the system for something; it is checked, routed to a process, and answered."""

from __future__ import annotations

from pathlib import Path

import click

from procos.cli.environment import settings
from procos.cli.run import progress, show
from procos.cli.variables import given
from procos.client import Client


@click.command()
@click.argument("kind")
@click.option(
    "--var",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable; JSON values keep their type.",
)
@click.option("--vars-file", type=click.Path(path_type=Path), help="A file with a JSON object of variables.")
@click.option("--business-key", help="The business key of the request.")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait.")
@click.option("--result", "wanted", metavar="NAME", help="Print this variable of the answer alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def request(
    *,
    kind: str,
    pairs: tuple[str, ...],
    vars_file: Path | None,
    business_key: str | None,
    timeout: float,
    wanted: str | None,
    as_json: bool,
) -> None:
    """Send a request of this KIND, wait until it is answered, and print the answer.

    A kind is the key of a process whose folder holds an input.schema.json, with or without `_process` at its end.
    """
    instance = Client(settings()).request(kind, given(pairs, vars_file), business_key=business_key)
    progress.print(f"request {kind}: {instance.id}")
    show(instance, timeout=timeout, wanted=wanted, as_json=as_json)
