"""Where bridge and workers of a local stack keep large values and files: in its folder, unless a store is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procos.blobs.filesystem import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procos.kernel.state import StackFolder
    from procos.settings import Settings


def blob_environment(settings: Settings, *, folder: StackFolder) -> Mapping[str, str]:
    """Return what names the store to all parts; nothing where the user has named one."""
    if settings.is_set(URL):
        return {}
    # Not percent-encoded, as other addresses of files are: fsspec takes the path as it stands.
    return {URL: f"file://{folder.root / 'data' / 'blobs'}"}
