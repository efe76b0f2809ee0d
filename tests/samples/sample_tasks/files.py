"""A task that reads a file of any size and writes one. It may run twice: the same content is the same blob."""

from pydantic import BaseModel

from procos.blobs import BlobReference
from tasks.blobs import TextOrBlob, text_of
from tasks.task import TaskContext, process_task


class Scan(BaseModel):
    """A scanned document, and notes on it, however long they are."""

    scan: BlobReference
    notes: TextOrBlob = ""


@process_task(topic="sample_scan")
def scan(order: Scan, context: TaskContext) -> dict[str, object]:
    """Count the lines of a document, and write a report that becomes a file of the engine."""
    with context.blobs.open(order.scan) as stream:
        lines = sum(1 for _ in stream)
    text = f"{order.scan.name}: {lines} lines\n{text_of(order.notes, context)}"
    report = context.blobs.put(text.encode(), media_type="text/plain; charset=utf-8")
    return {"lines": lines, "report": report.as_file("report.txt")}
