"""Fills a text template within limits of size, rounds and time.

What `grammar` lets through cannot grow without end: repeating a text is arithmetic with a text, which fails; a range is
a call; nested loops end at `MOST_ROUNDS`; each filter looks at the clock, and returns no text that is too long to be
written. The sandbox of Jinja stands behind that, for what may have been overlooked. Values are data: a template that
stands in one is text like any other.

Importing this module imports `jinja2`, which takes a while: do so where a template is filled, not before.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasks.templates.filters import FILTERS, TooMuchError, check_length, shown
from tasks.templates.grammar import LOOP_FACTS, TESTS, TemplateError, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_ROUNDS = 100_000
"""Rounds of all loops together."""
LARGEST_NUMBER = 2**53
METER = "the meter"
"""Where the context holds the meter; a name with a blank, which no template can say."""
TEXT = "text"
"""What `written` calls the text of a template without blocks."""


class MisfitError(Exception):
    """Raised when values do not fit a template, or make it too long; says why, without them."""


class OutOfTimeError(Exception):
    """Raised when a template was not filled in time."""


class Meter:
    """What one filling has used up; `deadline` is a moment of its clock."""

    def __init__(self, *, deadline: float, clock: Callable[[], float]) -> None:
        self._deadline, self._clock = deadline, clock
        self._rounds = self._length = 0

    def go_round(self) -> None:
        """Count one round of a loop."""
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise TooMuchError(f"goes round more than {MOST_ROUNDS} times")
        self.look()

    def write(self, length: int) -> None:
        """Count a piece of text."""
        self._length += length
        check_length(self._length)
        self.look()

    def look(self) -> None:
        """Look at the clock."""
        if self._clock() > self._deadline:
            raise OutOfTimeError


@lru_cache(maxsize=64)
def compiled(text: str, *, blocks: tuple[str, ...] = (), declared: frozenset[str] | None = None) -> jinja2.Template:
    """Read a template.

    Args:
        text: the template.
        blocks: the blocks that make it up; without any it is one text.
        declared: the variables it may use; None where it may use any.

    Raises:
        TemplateError: it is wrong, or says what it may not; names the line.
    """
    environment = _environment()
    try:
        tree = environment.parse(text)
        check(tree, blocks=blocks, filters=FILTERS)
        strange = sorted(meta.find_undeclared_variables(tree) - declared) if declared is not None else []
        if strange:
            raise TemplateError(f"uses {', '.join(strange)}, which its head does not name as variables")
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "each", [], [], None, None, lineno=loop.lineno, environment=environment)
        code = environment.compile(tree)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {error.message}") from error
    except (MemoryError, RecursionError, SyntaxError) as error:
        raise TemplateError("is nested too deeply") from error
    return environment.template_class.from_code(environment, code, {})


def written(template: jinja2.Template, values: Mapping[str, Any], meter: Meter) -> dict[str, str]:
    """Return the text of each block of a template, filled with values; without blocks, all of it as `TEXT`.

    Raises:
        MisfitError: the values make it too long, or do not fit it.
        OutOfTimeError: time is up.
    """
    context = template.new_context({**values, METER: meter})
    parts = template.blocks or {TEXT: template.root_render_func}
    try:
        return {name: _text(part(context), meter) for name, part in parts.items()}
    except jinja2.UndefinedError as error:
        raise MisfitError(str(error.message)) from None
    except TooMuchError as error:
        raise MisfitError(f"it {error}") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, jinja2.TemplateRuntimeError) as error:
        raise MisfitError(type(error).__name__) from None  # its words may quote a value


def _text(chunks: Iterator[str], meter: Meter) -> str:
    pieces = []
    for chunk in chunks:
        meter.write(len(chunk))
        pieces.append(chunk)
    return "".join(pieces)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which values have members and no attributes, and numbers alone are computed with."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute with two numbers."""
        if not {type(left), type(right)} <= {int, float}:
            raise TooMuchError("computes with what is no number")
        result = super().call_binop(context, operator, left, right)
        if abs(result) > LARGEST_NUMBER:
            raise TooMuchError("computes a number that is too large")
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
        autoescape=False,  # what is written is text, not HTML
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=0,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.filters.update({name: _metered(filter_) for name, filter_ in FILTERS.items()}, each=_each)
    environment.tests = {name: environment.tests[name] for name in TESTS}
    return environment


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


def _metered(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Bound what a filter returns, and look at the clock: a template may call hundreds without writing anything."""

    @jinja2.pass_context
    def call(context: Context, *arguments: Any, **named: Any) -> Any:
        meter: Meter = context.parent[METER]
        meter.look()
        result = filter_(*arguments, **named)
        if isinstance(result, str):  # JSON of JSON of JSON doubles its backslashes each time
            check_length(len(result))
        meter.look()
        return result

    return call
