"""The blob store as a task sees it: `context.blobs`, and `text_of` for inputs that are a text or a reference to one.

    class Order(BaseModel):
        contract: TextOrBlob

    @process_task(topic="summary")
    def summarise(order: Order, context: TaskContext) -> Summary:
        text = text_of(order.contract, context)

What a step puts into the store belongs to its process instance. Nothing is opened before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from procos.blobs import BlobReference, blob_store
from procos.blobs.reference import OCTETS
from procos.domain.errors import BusinessError, PermanentError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procos.blobs import BlobStore
    from procos.settings import Settings
    from tasks.context import TaskContext

INVALID_INPUT = "INVALID_INPUT"
TextOrBlob = str | BlobReference
"""A text as it stands in a variable, or in the blob store; `text_of` reads either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBlobs:
    """Puts and finds blobs for one step; every method may raise `BlobsUnreachableError`, which is a failed try."""

    settings: Settings
    process_instance_id: str

    def put(
        self, content: bytes | BinaryIO | Iterable[bytes], *, media_type: str = OCTETS, name: str | None = None
    ) -> BlobReference:
        """Keep content, in memory or as it comes, and return what finds it again; a result may hold that.

        Raises:
            PermanentError: BLOB_TOO_LARGE, or BLOBS_UNSET where this worker knows no store.
        """
        store = store_of(self.settings)
        return store.put(content, under=self.process_instance_id, media_type=media_type, name=name)

    def open(self, reference: BlobReference) -> BinaryIO:
        """Open a blob for reading, from its beginning to its end; use it in a `with`.

        Raises:
            PermanentError: BLOB_MISSING, or BLOB_DAMAGED: now, or when its last bytes are read.
        """
        return store_of(self.settings).open(reference)

    def read(self, reference: BlobReference, *, largest: int | None = None) -> bytes:
        """Return the whole of a blob, if it has at most `largest` bytes (PROCOS_WORKER_LARGEST_MESSAGE, if unsaid).

        Raises:
            PermanentError: BLOB_TOO_LARGE, BLOB_MISSING, or BLOB_DAMAGED.
        """
        limit = self.settings.worker.largest_message if largest is None else largest
        return store_of(self.settings).read(reference, largest=limit)

    def text(self, reference: BlobReference, *, largest: int | None = None) -> str:
        """Return a blob as text, in the encoding its media type names or in UTF-8.

        Raises:
            PermanentError: BLOB_TOO_LARGE, BLOB_MISSING, or BLOB_DAMAGED.
            BusinessError: INVALID_INPUT, where it is no text.
        """
        return decoded(self.read(reference, largest=largest), reference, reference.name or "a blob")


def text_of(value: str | BlobReference, context: TaskContext, *, largest: int | None = None) -> str:
    """Return the text an input holds, or its reference leads to, if it has at most `largest` bytes.

    Raises:
        PermanentError: BLOB_TOO_LARGE, BLOB_MISSING, or BLOB_DAMAGED.
        BusinessError: INVALID_INPUT, where the blob is no text.
    """
    return value if isinstance(value, str) else context.blobs.text(value, largest=largest)


def decoded(content: bytes, reference: BlobReference, name: str) -> str:
    """Return content as text, in the encoding its reference names or in UTF-8; `name` is what an error calls it.

    Raises:
        BusinessError: INVALID_INPUT, where it is no text.
    """
    try:
        return content.decode(reference.charset or "utf-8")
    except (UnicodeDecodeError, LookupError):
        raise BusinessError(INVALID_INPUT, f"{name}: is no text in the encoding it says") from None


def store_of(settings: Settings) -> BlobStore:
    """Return the store of this worker.

    Raises:
        PermanentError: BLOBS_UNSET, where it knows none.
    """
    try:
        return blob_store(settings.blobs)
    except SettingsError as error:
        raise PermanentError(str(error), code="BLOBS_UNSET") from error
