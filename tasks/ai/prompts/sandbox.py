"""Lets a prompt template write its text, and nothing else, within limits of size, rounds and time.

A template may use `if`, `for`, arithmetic with numbers, and the filters and tests named here. What it could grow or
reach out with is refused before it runs: calls, `set`, macros, includes, `~`, slices, and the methods of Python values.
Repeating a text is arithmetic with a text, which fails; a range is a call; nested loops end at `MOST_ROUNDS`. The
sandbox of Jinja stands behind that, for what may have been overlooked.

Values are data: a template that stands in one is text like any other. `tasks.ai.prompts.rendering` is the caller.
Importing this module imports `jinja2`, which takes a while: do so where a template is filled, not before.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from procos.domain.errors import BusinessError, TransientError
from tasks.ai.prompts.template import INVALID_INPUT, Template, wrong_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LONGEST_PROMPT = 1_000_000
"""Characters of all blocks together, and of any text a filter returns."""
MOST_ROUNDS = 100_000
"""Rounds of all loops together."""
LARGEST_NUMBER = 2**53
METER = "the meter"
"""Where the context holds the meter; a name with a blank, which no template can say."""

BLOCKS = ("system", "user")
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


class _TooMuchError(Exception):
    """A template wants to write, go round or compute more than it may; says what."""


class Meter:
    """What one filling has used up; `deadline` is a moment of its clock."""

    def __init__(self, *, deadline: float, clock: Callable[[], float]) -> None:
        self._deadline, self._clock = deadline, clock
        self._rounds = self._length = 0

    def go_round(self) -> None:
        """Count one round of a loop."""
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise _TooMuchError(f"goes round more than {MOST_ROUNDS} times")
        self._look()

    def write(self, length: int) -> None:
        """Count a piece of text."""
        self._length += length
        if self._length > LONGEST_PROMPT:
            raise _TooMuchError(f"becomes longer than {LONGEST_PROMPT} characters")
        self._look()

    def _look(self) -> None:
        if self._clock() > self._deadline:
            raise TransientError("the prompt template was not filled in time", code="TEMPLATE_TIME")


def written(template: Template, values: Mapping[str, Any], meter: Meter) -> dict[str, str]:
    """Return the text of each block of a template, filled with values; a variable that is absent is None.

    Raises:
        PermanentError: the template is wrong, or says what it may not; names the line.
        BusinessError: INVALID_INPUT, where the values make it too long, or do not fit it.
        TransientError: time is up.
    """
    compiled = _compiled(template.name, template.body, frozenset(template.head.variables))
    context = compiled.new_context({**values, METER: meter})
    try:
        return {name: _text(block(context), meter) for name, block in compiled.blocks.items()}
    except jinja2.UndefinedError as error:
        raise _misfit(template, str(error.message)) from None
    except _TooMuchError as error:
        raise _misfit(template, f"it {error}") from None
    except (ArithmeticError, LookupError, TypeError, ValueError, jinja2.TemplateRuntimeError) as error:
        raise _misfit(template, type(error).__name__) from None  # its words may quote a value


def _text(chunks: Iterator[str], meter: Meter) -> str:
    pieces = []
    for chunk in chunks:
        meter.write(len(chunk))
        pieces.append(chunk)
    return "".join(pieces).strip()


def _misfit(template: Template, reason: str) -> BusinessError:
    return BusinessError(
        INVALID_INPUT, f"prompt template {template.name!r} cannot be filled with these variables: {reason}"
    )


@lru_cache(maxsize=64)
def _compiled(name: str, body: str, declared: frozenset[str]) -> jinja2.Template:
    environment = _environment()
    try:
        tree = environment.parse(body, name)
        _refuse(tree, name)
        if strange := sorted(meta.find_undeclared_variables(tree) - declared):
            raise wrong_template(name, f"uses {', '.join(strange)}, which its head does not name as variables")
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "each", [], [], None, None, lineno=loop.lineno, environment=environment)
        code = environment.compile(tree, name, name)
    except jinja2.TemplateSyntaxError as error:
        raise wrong_template(name, f"line {error.lineno}: {error.message}") from error
    except (RecursionError, SyntaxError) as error:
        raise wrong_template(name, "is nested too deeply") from error
    return environment.template_class.from_code(environment, code, {})


def _refuse(tree: nodes.Template, name: str) -> None:
    """Refuse what a prompt template may not say.

    Raises:
        PermanentError: it says such a thing; names the line.
    """
    for part in tree.body:
        is_blank = isinstance(part, nodes.Output) and not "".join(map(_static, part.nodes)).strip()
        if not is_blank and not (isinstance(part, nodes.Block) and part.name in BLOCKS):
            raise wrong_template(name, f"line {_line(part)}: expected nothing but the blocks {' and '.join(BLOCKS)}")
    for node in tree.find_all(nodes.Node):
        if reason := _fault(node, tree):
            raise wrong_template(name, f"line {node.lineno}: {reason}")
    if not tree.body or not any(isinstance(part, nodes.Block) for part in tree.body):
        raise wrong_template(name, f"has none of the blocks {' and '.join(BLOCKS)}")


def _static(node: nodes.Node) -> str:
    return node.data if isinstance(node, nodes.TemplateData) else "something"


def _line(part: nodes.Node) -> int:
    """Return where the first word of a part stands; blank lines may come before it."""
    text = "".join(map(_static, part.nodes)) if isinstance(part, nodes.Output) else ""
    return part.lineno + text[: len(text) - len(text.lstrip())].count("\n")


def _fault(node: nodes.Node, tree: nodes.Template) -> str:
    """Say why a part of a template is refused, or nothing."""
    match node:
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"there is no filter {name!r}; there are {', '.join(FILTERS)}"
        case nodes.Test(name=name) if name not in TESTS:
            return f"there is no test {name!r}; there are {', '.join(TESTS)}"
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


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which values have members and no attributes, and numbers alone are computed with."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute with two numbers."""
        if not {type(left), type(right)} <= {int, float}:
            raise _TooMuchError("computes with what is no number")
        result = super().call_binop(context, operator, left, right)
        if abs(result) > LARGEST_NUMBER:
            raise _TooMuchError("computes a number that is too large")
        return result

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a member of an object, or a fact about a loop."""
        if isinstance(obj, LoopContext) and attribute in LOOP_FACTS:
            return getattr(obj, attribute)
        return self._member(obj, attribute, f"{attribute} is missing")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a member of an object or a list."""
        return self._member(obj, argument, "a member is missing")  # its name may be a value

    def _member(self, obj: Any, key: Any, otherwise: str) -> Any:
        if isinstance(obj, jinja2.Undefined):
            str(obj)  # which says what is missing
        is_right = isinstance(key, str) if isinstance(obj, dict) else isinstance(obj, list) and type(key) is int
        try:
            return obj[key] if is_right else self.undefined(otherwise)
        except LookupError:
            return self.undefined(otherwise)


@cache
def _environment() -> _Environment:
    environment = _Environment(
        autoescape=False,  # a model reads text, not HTML
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=0,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.filters.update(FILTERS, each=_each)
    environment.tests = {name: environment.tests[name] for name in TESTS}
    return environment


def _shown(value: Any) -> str:
    """Write a value as a person would: JSON for what has members, nothing for nothing."""
    match value:
        case None:
            return ""
        case str() | jinja2.Undefined():
            return str(value)
        case bool() | list() | dict():
            return _json(value)
        case int() | float():
            return str(value)
    raise TypeError


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@jinja2.pass_context
def _each(context: Context, values: Any) -> Iterator[Any]:
    """Go through a list, or the names of an object; put around what every loop goes through."""
    if isinstance(values, jinja2.Undefined):
        str(values)
    if not isinstance(values, list | tuple | dict):
        raise TypeError
    meter: Meter = context.parent[METER]
    for value in values:
        meter.go_round()
        yield value


def _join(values: Any, separator: str = "") -> str:
    texts = [_shown(value) for value in values]
    if sum(map(len, texts)) + len(separator) * len(texts) > LONGEST_PROMPT:
        raise _TooMuchError(f"becomes longer than {LONGEST_PROMPT} characters")
    return separator.join(texts)


def _default(value: Any, otherwise: Any = "") -> Any:
    return otherwise if value is None or isinstance(value, jinja2.Undefined) else value


def _truncate(value: str, length: int = 255) -> str:
    return value if len(value) <= length else f"{value[: max(length - 1, 0)]}…"


FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "first": lambda values: values[0] if values else None,
    "join": _join,
    "last": lambda values: values[-1] if values else None,
    "length": len,
    "lower": str.lower,
    "tojson": _json,
    "trim": str.strip,
    "truncate": _truncate,
    "upper": str.upper,
}
