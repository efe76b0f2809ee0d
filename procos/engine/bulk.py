"""Reports in lists: one call and one transaction for many, where the engine has an endpoint for that.

No Camunda 7 engine has one; the engine of this project says in a header of every answer how long a list it takes.
Each report gets the answer it would have got alone, so that a bad one costs its neighbours nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from procos.domain.errors import (
    EngineBusyError,
    EngineError,
    EngineMisconfiguredError,
    EngineUnreachableError,
    VariableError,
)
from procos.domain.variables import as_typed
from procos.engine.reports import fields_of, variables_of
from procos.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procos.engine.reports import Report
    from procos.engine.transport import Transport

VERDICTS = "ProcOS-Verdicts"
"""The header that says how many reports one call takes."""
ADDRESS = "/procos/verdicts"
WAIT_SECONDS = 10.0
"""Beyond the timeout of a call: a list may have to be taken one by one. A few lists are all that is on its way, so what
does not answer must not hold them for long."""
LEAST, UNBOUNDED = 2, 1 << 30
"""A list that had no answer is followed by shorter ones, down to this; each that is answered by longer ones."""
AVOIDED_SECONDS = 60.0
"""How long the endpoint is left alone after it refused a whole list: a proxy may let nobody through to it."""

log = get_logger(__name__)

Refusal = EngineError | VariableError


class BulkReports:
    """The endpoint for lists; may be shared by threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._avoided_until = 0.0
        self._bound = UNBOUNDED

    @property
    def longest(self) -> int:
        """How many reports one call takes; 0 where the engine has not said that it takes any."""
        if time.monotonic() < self._avoided_until:
            return 0
        return min(self._said(), max(self._bound, LEAST))

    def send(self, reports: Sequence[Report], *, json_type: bool) -> Sequence[Refusal | None]:
        """Report a list; returns for each report why the engine refused it, None if it took it.

        Raises:
            EngineUnreachableError, EngineBusyError: nothing is known of any.
        """
        written = [_written(report, json_type=json_type) for report in reports]
        answers = iter(self._answers([item for item in written if isinstance(item, dict)]))
        return [next(answers) if isinstance(item, dict) else item for item in written]

    def _said(self) -> int:
        said = self._transport.heard(VERDICTS) or ""
        return int(said) if said.isdecimal() else 0

    def _answers(self, items: Sequence[dict[str, object]]) -> Sequence[EngineError | None]:
        if not items:
            return []
        try:
            answer = self._transport.post(ADDRESS, {"verdicts": items}, wait=WAIT_SECONDS)
            found = [self._transport.fault_in(each) for each in _listed(answer, len(items))]
        except EngineUnreachableError:
            self._bound = len(items) // 2  # it may have been too much for the time it had
            raise
        except EngineBusyError:
            raise
        except EngineError as error:
            log.warning("verdicts.refused", reason=str(error), seconds=AVOIDED_SECONDS)
            self._avoided_until = time.monotonic() + AVOIDED_SECONDS
            return [error] * len(items)
        self._bound = max(self._bound, 2 * len(items))
        return found


def _written(report: Report, *, json_type: bool) -> dict[str, object] | VariableError:
    try:
        typed = {name: as_typed(name, value, json_type=json_type) for name, value in variables_of(report).items()}
    except VariableError as error:
        return error
    return {"externalTaskId": report.external_task_id, "verb": report.verb, **fields_of(report, typed)}


def _listed(answer: Any, length: int) -> list[dict[str, Any]]:
    answers = answer.get("answers") if isinstance(answer, dict) else None
    if not isinstance(answers, list) or len(answers) != length or not all(isinstance(each, dict) for each in answers):
        raise EngineMisconfiguredError(f"{ADDRESS} does not answer a list of {length} verdicts")
    return answers
