"""What becomes of files that Stash deletes: gone, or in its trash folder."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.actions.snapshots import NOW
from pipelines.stash.library import StashLibrary


async def trash_path(library: StashLibrary) -> str:
    """Returns the folder that Stash moves deleted files to; "" when they are gone for good."""
    return (await library.configuration(NOW)).delete_trash_path


def deleted_note(paths: Sequence[str], trash: str) -> str:
    """Returns the sentence on deleted files that a preview and an undo say."""
    listed = ", ".join(paths) or "No file"
    if trash:
        return (
            f"Cannot be undone here: {listed}. Stash moves deleted files to its trash {trash}; move them back by hand "
            "and let Stash scan."
        )
    return f"Cannot be undone: {listed} is deleted from the disk, and Stash has no trash folder set."
