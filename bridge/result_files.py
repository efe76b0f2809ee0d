"""Results that shall become files of the engine: their content is read from the blob store when they are reported.

A result asks for it by a field of its reference. The engine takes content as base64, in the very call that ends the
step: so it is in memory as a whole, and bounded, and such a result is reported by itself, never in a list. Whoever
reports it waits for the store, but not for one that hangs.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bridge.blob_reads import BlobReads
from procos.blobs import is_reference, reference_in
from procos.blobs.reference import BECOMES
from procos.domain.errors import PermanentError, SettingsError, VariableError
from procos.domain.variables import BYTES, FILE, LARGEST_TOGETHER, TypedValue

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from procos.blobs import BlobReference
    from procos.settings import BlobSettings


def become_files(variables: Mapping[str, object]) -> bool:
    """Whether any result shall become a file of the engine."""
    return any(_becomes_file(value) for value in variables.values())


class ResultFiles:
    """Reads the content of results that become files; may be shared by threads."""

    def __init__(self, blobs: BlobSettings, stop: threading.Event, *, largest: int = LARGEST_TOGETHER) -> None:
        self._reads, self._largest = BlobReads(blobs, stop), largest

    def typed(self, variables: Mapping[str, object]) -> Mapping[str, object]:
        """Return the variables, those that become files with their content and the engine's type.

        Raises:
            VariableError: a file is too large for the engine, is not in the store, or damaged; or there is no store.
            BlobsUnreachableError: the store does not answer, or not soon enough; another try may pass.
        """
        if not become_files(variables):
            return variables
        found, left = dict(variables), self._largest
        for name, value in variables.items():
            if _becomes_file(value):
                reference = reference_in(name, value)
                if reference.size > left:
                    raise VariableError(
                        name, f"{reference.size} bytes; files of at most {self._largest} bytes together are reported"
                    )
                left -= reference.size
                found[name] = self._content(name, reference)
        return found

    def _content(self, name: str, reference: BlobReference) -> TypedValue:
        try:
            content = self._reads.read(reference)
        except (PermanentError, SettingsError) as error:
            raise VariableError(name, str(error)) from error
        text = base64.b64encode(content).decode()
        if reference.becomes != FILE:
            return TypedValue(type=BYTES, value=text)
        info = {"filename": reference.name or name, "mimeType": reference.kind, "encoding": reference.charset}
        return TypedValue(type=FILE, value=text, value_info={key: fact for key, fact in info.items() if fact})


def _becomes_file(value: object) -> bool:
    return is_reference(value) and isinstance(value, dict) and value.get(BECOMES) is not None
