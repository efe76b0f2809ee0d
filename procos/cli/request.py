"""`procos request`: asks the system for something; it is checked, routed to a process, and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from procos.cli.asking import asking
from procos.cli.environment import settings
from procos.cli.run import progress, show
from procos.client import Client

if TYPE_CHECKING:
    from procos.cli.asking import Asked


@click.command()
@click.argument("what", metavar="KIND")
@asking
def request(kind: str, asked: Asked) -> None:
    """Send a request of this KIND, wait until it is answered, and print the answer.

    A kind is the key of a process whose folder holds an input.schema.json, with or without `_process` at its end.
    """
    instance = Client(settings()).request(kind, asked.variables, business_key=asked.business_key)
    progress.print(f"request {kind}: {instance.id}")
    show(instance, asked)
