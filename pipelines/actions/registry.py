"""The actions there are: a new one is a class and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.actions.base import ActionType
from pipelines.actions.create_performer import CreatePerformer
from pipelines.actions.delete_images import DeleteImages
from pipelines.actions.delete_scene import DeleteScene
from pipelines.actions.linking import LinkStashId
from pipelines.actions.merge_performers import MergePerformers
from pipelines.actions.merge_scenes import MergeScenes
from pipelines.actions.scene_files import DeleteSceneFiles, SetPrimaryFile
from pipelines.actions.tagging import TagPerformers, UntagPerformers
from pipelines.errors import ActionUnknown

ACTIONS: Mapping[str, ActionType] = MappingProxyType(
    {
        one.id: one
        for one in (
            MergeScenes(),
            DeleteScene(),
            DeleteSceneFiles(),
            SetPrimaryFile(),
            MergePerformers(),
            LinkStashId(),
            TagPerformers(),
            UntagPerformers(),
            DeleteImages(),
            CreatePerformer(),
        )
    }
)


def action_type(action: str) -> ActionType:
    """Returns the type of that id. Raises ActionUnknown."""
    if action not in ACTIONS:
        raise ActionUnknown(f"There is no action {action[:80]!r}.", f"There are {', '.join(ACTIONS)}.")
    return ACTIONS[action]
