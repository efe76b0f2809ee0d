"""The options of commands that ask the system for something: what to hand it, how long to wait, what to print."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from procos.cli.variables import given

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked for; `timeout` is in seconds, `wanted` the one variable to print, where only one is."""

    variables: Mapping[str, object]
    business_key: str | None
    timeout: float
    wanted: str | None
    as_json: bool


def asking(command: Callable[[str, Asked], None]) -> Callable[..., None]:
    """Give a command these options; it is called with its argument and what they say."""

    @click.option(
        "--var", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable; JSON values keep their type."
    )
    @click.option("--vars-file", type=click.Path(path_type=Path), help="A file with a JSON object of variables.")
    @click.option("--business-key", help="The business key of the new instance.")
    @click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait.")
    @click.option("--result", "wanted", metavar="NAME", help="Print this variable of the result alone.")
    @click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
    @functools.wraps(command)
    def with_options(*, pairs: tuple[str, ...], vars_file: Path | None, what: str, **options: Any) -> None:
        command(what, Asked(variables=given(pairs, vars_file), **options))

    return with_options
