"""`procos templates`: writes the element templates of all topics to where Camunda Modeler looks for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from procos.cli.element_templates import element_templates

PLACE = Path(".camunda") / "element-templates" / "procos.json"
"""Modeler takes the templates of this folder for every model below the one it lies in."""


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=PLACE, show_default=True, help="The file to write.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the file is not up to date.")
@click.option("--json", "as_json", is_flag=True, help="Print the templates instead.")
def templates(*, output: Path, check: bool, as_json: bool) -> None:
    """Write a Camunda Modeler element template for every topic, those of your own packages included."""
    found = element_templates()
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if as_json:
        click.echo(text, nl=False)
    elif check:
        is_current = output.is_file() and output.read_text("utf-8") == text
        click.echo(f"{output} is {'up to date' if is_current else 'not up to date; run `procos templates`'}", err=True)
        sys.exit(0 if is_current else 1)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")
        click.echo(f"{output}: {len(found)} templates", err=True)
