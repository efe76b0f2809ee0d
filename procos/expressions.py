"""JSONata expressions of models: what is wrong with one, and their evaluation, which is done in a process of its own.

`procos deploy` asks `syntax_fault`. `tasks.mapping.expressions` has `answer` called by a program beside the worker
(`tasks.side_program`), and kills it where it does not answer: a regular expression that backtracks, or a list of ten
million items, cannot be stopped from inside. There the file has no path to the rest of ProcOS, so it imports nothing of
it. What an answer says is wrong never quotes what an expression was given, except in the words of `$error`.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNREADABLE, FAILED, NOT_ENDED = "unreadable", "failed", "not ended"
"""The kinds of faults."""
LARGEST_MEMORY = 512 * 1024 * 1024
LARGEST_ANSWER = 32 * 1024 * 1024
DEEPEST_CALL = 500
"""Evaluations inside each other; a function that calls itself takes three or four at each call."""
DEEPEST_STACK = 5000
LONGEST_WORDS = 300
KEPT = 256
"""Parsed expressions that are kept."""
SPOKEN = {"D3137", "D3141"}
"""JSONata's codes of $error and $assert, whose words are the modeller's own."""
HOLE = re.compile(r"\{\{\{?\w+\}?\}\}")


class Verdict(dict[str, Any]):
    """What a function of errorExpression returned: a class of its own, so that no data can pass for one."""


def syntax_fault(text: str) -> str | None:
    """Say what keeps an expression from being read, if anything; its own words may be quoted."""
    if not text.strip():
        return "is empty"
    try:
        _parsed(text)
    except RecursionError:
        return "is nested too deeply"
    except _library().JException as error:
        return f"does not parse: {str(error)[:LONGEST_WORDS]} ({error.error}{_place(error)})"
    except re.error as error:
        return f"does not parse: a regular expression is wrong: {error}"
    except Exception as error:  # noqa: BLE001  # the parser of a third party stumbles in many ways over half a text
        return f"does not parse ({type(error).__name__})"
    return None


def answer(request: bytes) -> bytes:
    """Evaluate one expression; the answer has a `value`, a `verdict`, or a `fault` and its kind."""
    try:
        asked = json.loads(request)
        fault = syntax_fault(asked["expression"])
        found = _refused(fault, UNREADABLE) if fault else _written(_evaluated(asked))
    except TimeoutError as error:
        return _refused(_fault(error), NOT_ENDED)
    except Exception as error:  # noqa: BLE001  # every end of an expression is an answer
        return _refused(_fault(error))
    if len(found) > LARGEST_ANSWER:
        return _refused(f"yields {len(found)} bytes, at most {LARGEST_ANSWER} are taken")
    return found


def _refused(fault: str, kind: str = FAILED) -> bytes:
    return json.dumps({"fault": fault, "kind": kind}).encode()


def _written(found: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(found, allow_nan=False).encode()
    except (TypeError, ValueError):
        return _refused("yields a function, a regular expression or an infinite number: JSON knows no such")


def _evaluated(asked: Mapping[str, Any]) -> dict[str, Any]:
    library, parsed = _library(), _parsed(asked["expression"])
    library.Jsonata.CURRENT.jsonata = parsed  # whose clock $now() reads; else that of what was parsed last
    frame = parsed.create_frame()
    _bound(frame, asked["seconds"])
    frame.bind("eval", library.Jsonata.JLambda(_no_eval))
    for name in FUNCTIONS if asked["judges"] else ():
        frame.bind(name, library.Jsonata.JLambda(partial(_judge, name)))
    value = parsed.evaluate(asked["data"], frame)
    return {"verdict": value} if isinstance(value, Verdict) else {"value": value}


def _bound(frame: Any, seconds: float) -> None:
    """Bound time and depth at each step of an evaluation.

    The library's own `Timebox` counts from when the expression was parsed, and loses count in lists and objects.
    """
    end, depth = time.monotonic() + seconds, 0

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST_CALL:
            raise RecursionError
        if time.monotonic() > end:
            raise TimeoutError(f"{seconds:g} s")

    def leave(*_: object) -> None:
        nonlocal depth
        depth -= 1

    frame.set_evaluate_entry_callback(enter)
    frame.set_evaluate_exit_callback(leave)


def _no_eval(*_: object) -> None:
    raise _said("$eval is not available: a text never becomes an expression")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_wait(value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.isfinite(value) and value >= 0
    return _is_text(value)


TEXT, OBJECT = ("a text", _is_text), ("an object", _is_object)
COUNT, WAIT = ("a whole number of at least 0", _is_count), ("a duration such as PT5M, or seconds", _is_wait)
FUNCTIONS: Mapping[str, Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "bpmnError": {"code": TEXT, "message": TEXT, "variables": OBJECT},
    "jobError": {"message": TEXT, "variables": OBJECT, "retries": COUNT, "retryIn": WAIT},
    "ignoreError": {"variables": OBJECT},
}
"""The functions of errorExpression with their parameters; the first of the two that throw must be there."""
REQUIRED = {("bpmnError", "code"), ("jobError", "message")}


def _judge(name: str, *given: object) -> Verdict:
    parameters = FUNCTIONS[name]
    if len(given) > len(parameters):
        raise _said(f"${name} takes at most {len(parameters)} arguments, {len(given)} were given")
    null = _library().Utils.NULL_VALUE
    values = [None if value is null else value for value in given]
    verdict = Verdict(kind=name)
    for position, (parameter, (expected, is_right)) in enumerate(parameters.items()):
        value = values[position] if position < len(values) else None
        if not (is_right(value) or (value is None and (name, parameter) not in REQUIRED)):
            raise _said(f"the {parameter} of ${name} is not {expected}")
        verdict[parameter] = value
    return verdict


def _said(words: str) -> Exception:
    error: Exception = _library().JException("D3137", -1, words)
    return error


def _fault(error: Exception) -> str:
    """Say what went wrong; of the library's messages only the part that stands in its table, since they quote data."""
    if isinstance(error, MemoryError):
        return "needs too much memory"
    if isinstance(error, RecursionError):
        return "calls itself too often, or is nested too deeply"
    if isinstance(error, TimeoutError):
        return f"did not end within {error}"
    library = _library()
    if not isinstance(error, library.JException):
        return f"cannot be evaluated ({type(error).__name__})"
    if error.error in SPOKEN:
        return f"cannot be evaluated: {str(error.current)[:LONGEST_WORDS]}"
    words = HOLE.sub("…", library.JException.error_codes.get(error.error, "refused by JSONata"))
    return f"cannot be evaluated: {words.replace('Object', 'function')} ({error.error}{_place(error)})"


def _place(error: Any) -> str:
    place = error.location
    return f", character {place}" if isinstance(place, int) and place > 0 else ""


@lru_cache(maxsize=KEPT)
def _parsed(text: str) -> Any:
    return _library().Jsonata(text)


@cache
def _library() -> Any:
    """Import JSONata; what it does to the limit of recursion of the whole process is undone."""
    limit = sys.getrecursionlimit()
    import jsonata

    sys.setrecursionlimit(limit)
    return jsonata


def prepare() -> None:
    """Import what is large, before the first request is waited for."""
    _library()
