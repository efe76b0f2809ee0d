"""Adapter `http`: one operation, `request`, for whatever speaks HTTP.

    called(service("crm", context), "request", {"method": "POST", "path": "/orders", "body": {"id": 7}}, context)

Other topics post by it too: `path` may be left out where the connection's URL is all there is, as with a webhook.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from procos.domain.errors import ProcosError
from tasks.adapters.adapter import Adapter, Call, Health, Operation, operation
from tasks.adapters.http.connection import Bounds, HttpConnection, base_of
from tasks.adapters.http.conversation import Conversation, repeatable
from tasks.adapters.http.request import HttpAnswer, HttpRequest, is_repeatable
from tasks.adapters.http.transport import reached

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tasks.blobs import StepBlobs

LONGEST_LOOK = 5.0
"""Seconds a look at a service may take."""


class Http(Adapter):
    """A service that speaks HTTP, or, without a connection of the operator's, any public one."""

    name = "http"
    connection = HttpConnection

    def __init__(self, connection: Any = None, *, blobs: StepBlobs | None = None) -> None:
        """Take a connection; None is for requests to public https addresses."""
        super().__init__(connection or Bounds(), blobs=blobs)

    @operation(repeatable=is_repeatable)
    def request(self, request: HttpRequest, call: Call) -> HttpAnswer:
        """Send a request and return the answer; 2xx is one, everything else an error."""
        return Conversation(request, self._connection, call, self._blobs).held()

    def is_repeatable(self, operation: Operation, parameters: BaseModel) -> bool:
        """Whether a request may be sent twice; where the service takes idempotency keys, each may."""
        if isinstance(parameters, HttpRequest):
            return repeatable(parameters, self._connection)
        return super().is_repeatable(operation, parameters)

    def health_check(self) -> Health:
        """Ask for `health_path`, or connect where there is none."""
        began = time.monotonic()
        if not isinstance(self._connection, HttpConnection):
            return Health(is_well=True, detail="asks public addresses, and is none itself", seconds=0.0)
        deadline = began + LONGEST_LOOK
        try:
            place = base_of(self._connection)
            if self._connection.health_path is None:
                reached(place, self._connection, deadline=deadline)
                detail = f"{place.place} takes connections"
            else:
                request = HttpRequest(path=self._connection.health_path, response_as="none")
                answer = self.request(request, Call(deadline=deadline, idempotency_key="health"))
                detail = f"{place.place} answers with status {answer.status}"
        except ProcosError as error:
            return Health(is_well=False, detail=str(error), seconds=time.monotonic() - began)
        return Health(is_well=True, detail=detail, seconds=time.monotonic() - began)
