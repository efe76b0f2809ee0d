"""Topic `file_operation`: reads, writes, lists and deletes files in a root that the operator has named.

The model says which connection, which operation and which path below its root; `tasks.adapters.files` does it. What is
refused as a path, and why no link leads out, stands there.

Running it twice is harmless: a file that is written again is the same file (with `overwrite` fail, one that is there
with the same content counts as written), and deleting what is gone says so. Where others write to the same path
between two runs, the last one to write wins.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from procos.blobs import BlobReference  # noqa: TC001  # pydantic reads it
from tasks.adapters.calling import called, service_of
from tasks.adapters.files.adapter import Files
from tasks.adapters.files.content import Encoding, ReadAs  # noqa: TC001  # pydantic reads it
from tasks.adapters.files.operations import Overwrite  # noqa: TC001  # pydantic reads it
from tasks.adapters.files.paths import MOST_PARTS
from tasks.task import TaskContext, process_task


class FileOperationInput(BaseModel):
    """What to do, where. An operation takes its own of these, checks them, and does not look at the others."""

    model_config = ConfigDict(hide_input_in_errors=True)

    connection: str = Field(description="the name of a connection of type files")
    operation: Literal["read", "write", "list", "stat", "delete", "copy", "checksum"]
    path: SkipValidation[str] = Field(
        "", description="relative to the root, with / between names; list: empty for the root"
    )
    target: SkipValidation[str] = Field("", description="copy: the path to copy to")
    content: SkipValidation[str | BlobReference | None] = Field(
        None, description="write: a text, or a file in the blob store"
    )
    document: SkipValidation[Any] = Field(
        None, alias="json", description="write: a value to write as JSON, in place of content"
    )
    read_as: SkipValidation[ReadAs] = Field(
        "auto", description="read: what the content becomes; auto goes by size and kind"
    )
    encoding: SkipValidation[Encoding] = Field("utf-8", description="read, write: of a text")
    overwrite: SkipValidation[Overwrite] = Field("fail", description="write, copy: what if the file is there")
    pattern: SkipValidation[str | None] = Field(None, description="list: names to list, such as *.csv")
    recursive: SkipValidation[bool] = Field(False, description="list: the folders below, too")
    depth: SkipValidation[int] = Field(MOST_PARTS, description="list: levels of folders, if recursive")


@process_task(topic="file_operation")
def file_operation(step: FileOperationInput, context: TaskContext) -> dict[str, object]:
    """Do one operation, and return what came of it.

    Raises:
        BusinessError: PATH_DENIED and others, where a path or a content is not as it should be.
        PermanentError: the connection does not allow it, or an operator must act.
        TransientError: the disk is full, or the store does not answer.
    """
    files = service_of(Files, step.connection, context)
    taken = files.operation_of(step.operation).parameters.model_fields
    given = {field.alias or name: getattr(step, name) for name, field in taken.items()}
    parameters = {name: value for name, value in given.items() if value is not None}
    return dict(called(files, step.operation, parameters, context))
