"""`procos adapters`: the kinds of services a connection may lead to, what they do, and which fields they need."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import click

from procos.domain.errors import UsageError
from tasks.adapters.known import adapter_named, faults, names, source_of
from tasks.adapters.known import adapters as known_adapters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.adapters.adapter import Adapter

FORMAT_OF_SECRETS = "password"
"""The format that a JSON schema gives to what is kept out of logs."""


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print fields and JSON schemas for programs.")
def adapters(*, name: str | None, as_json: bool) -> None:
    """List adapters and their operations; with NAME the fields of its connections and the schemas of its operations."""
    for fault in () if name else faults():
        click.secho(fault, fg="red", err=True)
    found = {name: _adapter(name)} if name else dict(sorted(known_adapters().items()))
    if as_json:
        click.echo(json.dumps([_document(each) for each in found.values()], indent=2))
    elif name:
        _show(found[name])
    elif found:
        for each in found.values():
            _list(each)
    elif not names():
        click.echo("no adapter is built in, and no package adds one", err=True)


def _adapter(name: str) -> type[Adapter]:
    if name in names():
        return adapter_named(name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"there is no adapter {name!r}; known: {', '.join(names()) or 'none'}{hint}")


def _document(adapter: type[Adapter]) -> dict[str, Any]:
    return {
        "name": adapter.name,
        "source": source_of(adapter.name),
        "summary": _summary(adapter),
        "connection": {"fields": list(_fields(adapter)), "schema": adapter.connection.model_json_schema()},
        "operations": {name: operation.schema() for name, operation in adapter.operations().items()},
    }


def _list(adapter: type[Adapter]) -> None:
    click.echo(f"{click.style(adapter.name, bold=True)}  {_summary(adapter)}  [from {source_of(adapter.name)}]")
    operations = adapter.operations()
    width = max(map(len, operations), default=0)
    for name, operation in operations.items():
        click.echo(f"  {name:<{width}}  {operation.summary}")


def _show(adapter: type[Adapter]) -> None:
    click.echo(f"{click.style(adapter.name, bold=True)}  {_summary(adapter)}  [from {source_of(adapter.name)}]")
    click.echo("\nfields of a connection, each PROCOS_CONNECTIONS__<CONNECTION>__<FIELD>:")
    for field in _fields(adapter):
        click.echo(f"  {_told(field)}")
    for name, operation in adapter.operations().items():
        click.echo(f"\n{click.style(name, bold=True)}  {operation.summary}")
        for side in ("parameters", "result"):
            text = json.dumps(operation.schema()[side], indent=2)
            click.echo(f"  {side}: " + text.replace("\n", "\n  "))


def _fields(adapter: type[Adapter]) -> Iterator[dict[str, Any]]:
    """Describe each field; the type first, which is the adapter's own name."""
    schema = adapter.connection.model_json_schema()
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        if name == "type":
            yield {"name": "type", "kind": "string", "is_required": True, "value": adapter.name}
            continue
        described = {
            "name": name,
            "kind": _kind(field),
            "is_required": name in required,
            "is_secret": _is_secret(field),
            "description": " ".join(field.get("description", "").split()),
        }
        yield described if "default" not in field else {**described, "default": field["default"]}


def _told(field: Mapping[str, Any]) -> str:
    if "value" in field:
        return f"{field['name']} = {field['value']}"
    notes = [field["kind"], "required" if field["is_required"] else f"default {json.dumps(field.get('default'))}"]
    notes += ["SECRET"] if field["is_secret"] else []
    description = f": {field['description']}" if field["description"] else ""
    return f"{field['name']} ({', '.join(notes)}){description}"


def _kind(field: Mapping[str, Any]) -> str:
    """Name the type of a field in one word or a few."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(each) for each in field["anyOf"]))
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    return str(field.get("type") or field.get("const") or "object")


def _is_secret(field: Mapping[str, Any]) -> bool:
    inner = [*field.get("anyOf", ()), *([field["items"]] if "items" in field else [])]
    more = field.get("additionalProperties")
    inner += [more] if isinstance(more, dict) else []
    return field.get("format") == FORMAT_OF_SECRETS or any(map(_is_secret, inner))


def _summary(adapter: type[Adapter]) -> str:
    return (adapter.__doc__ or "").strip().partition("\n")[0]
