"""The engine's answers as errors: the table, row by row, in the engine's own words."""

from __future__ import annotations

import pytest

from procos.domain.errors import (
    EngineBusyError,
    EngineConflictError,
    EngineDeniedError,
    EngineError,
    EngineMisconfiguredError,
    EngineRejectedError,
    LeaseLostError,
    TaskGoneError,
    TaskSuspendedError,
)
from procos.engine.faults import Answer, fault

REST, INVALID, PERSISTENCE = "RestException", "InvalidRequestException", "ProcessEnginePersistenceException"
ADDRESS = "http://engine/engine-rest"

TABLE: list[tuple[int, str, str, int | None, type[EngineError]]] = [
    (404, REST, "External task with id nope does not exist", None, TaskGoneError),
    (404, "NotFoundException", "HTTP 404 Not Found", None, EngineMisconfiguredError),
    (404, INVALID, "Process engine with name wrong does not exist", None, EngineMisconfiguredError),
    (404, "", "", None, EngineMisconfiguredError),
    (404, REST, "Process instance with id x does not exist", None, EngineRejectedError),
    (400, REST, "External Task t cannot be completed by worker 'a'. It is locked by worker 'b'.", None, LeaseLostError),
    (
        400,
        REST,
        "External Task t cannot be completed by worker 'a'. It is locked by worker 'null'.",
        None,
        LeaseLostError,
    ),
    (400, REST, "t cannot be locked by worker 'other'. It is locked by worker 'q1'.", None, LeaseLostError),
    (400, REST, "Cannot extend a lock that expired", None, LeaseLostError),
    (400, REST, "ExternalTaskEntity[id=t] is suspended", None, TaskSuspendedError),
    (400, INVALID, "Cannot convert value 'x' of type Date", None, EngineRejectedError),
    (400, REST, "Unsupported value type 'Json'", None, EngineRejectedError),
    (500, "NullValueException", "workerId is null", None, EngineRejectedError),
    (
        500,
        "OptimisticLockingException",
        "Entity was updated by another transaction concurrently",
        1,
        EngineConflictError,
    ),
    (500, PERSISTENCE, "deadlock", 10000, EngineConflictError),
    (500, PERSISTENCE, "foreign key", 10001, EngineConflictError),
    (500, PERSISTENCE, "Value too long for column", 10002, EngineRejectedError),
    (500, "ProcessEngineException", "Unknown property used in expression: ${missing}", 0, EngineRejectedError),
    (500, "ProcessEngineException", "Unknown property used in expression: ${shutdown}", 0, EngineRejectedError),
    (500, "ProcessEngineException", "ENGINE-13033 Propagation of bpmn error failed", 0, EngineRejectedError),
    (500, INVALID, "At the moment the server has to handle too many requests at the same time", None, EngineBusyError),
    (500, REST, "Request rejected due to shutdown of application server.", None, EngineBusyError),
    (500, "", "", None, EngineBusyError),
    (401, "", "", None, EngineDeniedError),
    (403, "AuthorizationException", "The user is not allowed", None, EngineDeniedError),
    (408, "", "", None, EngineBusyError),
    (413, "", "", None, EngineRejectedError),
    (429, "", "", None, EngineBusyError),
    (502, "", "", None, EngineBusyError),
    (503, "", "", None, EngineBusyError),
    (504, "", "", None, EngineBusyError),
    (302, "", "", None, EngineMisconfiguredError),
    (405, "", "", None, EngineMisconfiguredError),
    (418, "", "", None, EngineMisconfiguredError),
]


class TestFault:
    @pytest.mark.parametrize(("status", "kind", "message", "code", "expected"), TABLE)
    def test_chooses_the_error_by_status_type_code_and_message(
        self, status: int, kind: str, message: str, code: int | None, expected: type[EngineError]
    ) -> None:
        error = fault(Answer(status=status, kind=kind, message=message, code=code), address=ADDRESS)
        assert type(error) is expected
        assert (error.status, error.kind, error.code) == (status, kind, code)

    def test_tells_how_to_set_credentials(self) -> None:
        text = str(fault(Answer(status=401), address=ADDRESS))
        assert ADDRESS in text
        assert "PROCOS_ENGINE_USER" in text

    def test_tells_how_to_set_the_address(self) -> None:
        text = str(fault(Answer(status=404), address="http://host/wrong"))
        assert "http://host/wrong" in text
        assert "PROCOS_ENGINE_URL" in text

    def test_never_leaves_a_message_empty(self) -> None:
        assert str(fault(Answer(status=500, kind="Odd"), address=ADDRESS)) == "the engine answered 500"
