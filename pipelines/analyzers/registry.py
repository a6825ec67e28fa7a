"""All analyzers. A new one is a file in this folder and a line here; its job, routes and schedule follow from that."""

from __future__ import annotations

from typing import Any

from pipelines.analyzers.base import BaseAnalyzer
from pipelines.analyzers.duplicate_images import DuplicateImages
from pipelines.analyzers.duplicate_performers import DuplicatePerformers
from pipelines.analyzers.duplicate_scene_files import DuplicateSceneFiles
from pipelines.analyzers.duplicate_scenes import DuplicateScenes
from pipelines.analyzers.missing_stashbox_link import MissingStashboxLink
from pipelines.analyzers.same_set_scenes import SameSetScenes
from pipelines.analyzers.unidentified_scene import UnidentifiedScene
from pipelines.analyzers.unknown_people import UnknownPeople

ANALYZERS: tuple[type[BaseAnalyzer[Any, Any]], ...] = (
    DuplicateSceneFiles,
    DuplicateScenes,
    SameSetScenes,
    UnidentifiedScene,
    UnknownPeople,
    DuplicatePerformers,
    DuplicateImages,
    MissingStashboxLink,
)
INFORMATIONAL: tuple[str, ...] = tuple(analyzer.id for analyzer in ANALYZERS if analyzer.informational)
"""Types that are listed only where they are asked for."""
