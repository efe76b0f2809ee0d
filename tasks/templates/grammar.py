"""What a text template may say; everything else is refused before it runs, with its line.

A template may use `if`, `for`, arithmetic with numbers, and the filters and tests named here. What it could grow or
reach out with is refused: calls, `set`, macros, includes, `~`, slices, and the methods of Python values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

if TYPE_CHECKING:
    from collections.abc import Collection

LOOP_FACTS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
TESTS = ("defined", "undefined", "none", "string", "number", "boolean", "mapping", "sequence", "true", "false")
ALLOWED: frozenset[type[nodes.Node]] = frozenset(
    {
        *(nodes.Block, nodes.Output, nodes.TemplateData, nodes.If, nodes.For),
        *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem),
        *(nodes.Filter, nodes.Test, nodes.Keyword, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not),
        *(nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
        *(nodes.Neg, nodes.Pos),
    }
)
WRITTEN_AS = {"Assign": "set", "AssignBlock": "set", "Concat": "~", "Pow": "**"}


class TemplateError(Exception):
    """Raised when a template says what it may not; says what, and the line."""


def check(tree: nodes.Template, *, blocks: Collection[str], filters: Collection[str]) -> None:
    """Refuse what a template may not say.

    Args:
        tree: the template as it was read.
        blocks: the blocks that make it up; without any it is one text.
        filters: the filters there are.

    Raises:
        TemplateError: it says such a thing.
    """
    if blocks:
        _check_blocks(tree, blocks)
    for node in tree.find_all(nodes.Node):
        if reason := _fault(node, tree, filters, blocks):
            raise TemplateError(f"line {node.lineno}: {reason}")


def _check_blocks(tree: nodes.Template, blocks: Collection[str]) -> None:
    for part in tree.body:
        is_blank = isinstance(part, nodes.Output) and not "".join(map(_static, part.nodes)).strip()
        if not is_blank and not (isinstance(part, nodes.Block) and part.name in blocks):
            raise TemplateError(f"line {_line(part)}: expected nothing but the blocks {' and '.join(blocks)}")
    if not any(isinstance(part, nodes.Block) for part in tree.body):
        raise TemplateError(f"has none of the blocks {' and '.join(blocks)}")


def _static(node: nodes.Node) -> str:
    return node.data if isinstance(node, nodes.TemplateData) else "something"


def _line(part: nodes.Node) -> int:
    """Return where the first word of a part stands; blank lines may come before it."""
    text = "".join(map(_static, part.nodes)) if isinstance(part, nodes.Output) else ""
    return part.lineno + text[: len(text) - len(text.lstrip())].count("\n")


def _fault(node: nodes.Node, tree: nodes.Template, filters: Collection[str], blocks: Collection[str]) -> str:
    """Say why a part of a template is refused, or nothing."""
    match node:
        case nodes.Filter(name=name) if name not in filters:
            return f"there is no filter {name!r}; there are {', '.join(filters)}"
        case nodes.Test(name=name) if name not in TESTS:
            return f"there is no test {name!r}; there are {', '.join(TESTS)}"
        case nodes.Block() if not blocks:
            return "block is not allowed"
        case nodes.Block() if node not in tree.body:
            return "a block stands inside another"
        case nodes.For(recursive=True):
            return "a recursive loop is not allowed"
        case nodes.List(items=items) | nodes.Tuple(items=items) if not all(map(_is_plain, items)):
            return "a list may hold texts and numbers alone"
    word = type(node).__name__
    return "" if type(node) in ALLOWED else f"{WRITTEN_AS.get(word, word.lower())} is not allowed"


def _is_plain(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) or (isinstance(node, nodes.Name) and node.ctx == "store")
