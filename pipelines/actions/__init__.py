"""What is done in Stash about a finding, with before-images, a log and an undo.

    plan = await preview(library, "merge_scenes", {"destination_id": "12", "source_ids": ["45"]})
    record = await perform(library, store, "merge_scenes", params, plan.digest)
    record = await undo(library, store, record.id)

`registry.ACTIONS` has the types, one module a family. Names here are loaded when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.actions.performing import keep_preview, perform, preview, undo
    from pipelines.actions.registry import ACTIONS, action_type
    from pipelines.actions.resuming import resume_all

__all__ = ["ACTIONS", "action_type", "keep_preview", "perform", "preview", "resume_all", "undo"]


def __getattr__(name: str) -> Any:
    """SQL and the types of actions are loaded late: the server starts without them."""
    if name in {"ACTIONS", "action_type"}:
        from pipelines.actions import registry

        return getattr(registry, name)
    if name == "resume_all":
        from pipelines.actions import resuming

        return resuming.resume_all
    if name in __all__:
        from pipelines.actions import performing

        return getattr(performing, name)
    raise AttributeError(name)
