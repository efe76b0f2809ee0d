"""Large values and files, kept beside the engine: in a store that bridge and workers reach, found by a reference.

A variable holds the reference, a small JSON object; `BlobStore` writes and reads what it stands for. Bridge and tasks
use both, and so may whoever reads variables from outside.
"""

from procos.blobs.reference import BlobReference, is_reference, reference_in
from procos.blobs.store import BlobStore, blob_store

__all__ = ["BlobReference", "BlobStore", "blob_store", "is_reference", "reference_in"]
