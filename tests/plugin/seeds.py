"""Recommendations straight into the store, with the facts of the Stash that they are about.

Their details have the shape that the analyzers give them; everything in them is read from Stash. What the analyzers
themselves find is tested with them; here many are needed, and of every type, whatever a small library holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.analyzers.scene_details import SceneSummary, scene_summary
from pipelines.stash.graphql import StashClient
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import RateLimiter
from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store


@contextmanager
def recommendations(data_dir: Path) -> Iterator[RecommendationStore]:
    """The recommendations of a server whose data are in `data_dir`."""
    store = open_store(f"sqlite:///{data_dir / 'state.db'}")
    try:
        yield RecommendationStore(store)
    finally:
        store.close()


def scenes(url: str, key: str, ids: Sequence[int]) -> list[SceneSummary]:
    """Returns scenes of Stash as details show them."""

    async def read() -> list[SceneSummary]:
        async with StashClient(url, key, limiter=RateLimiter(1e6)) as client:
            library = StashLibrary(client)
            return [scene_summary(await library.scene(str(one))) for one in ids]

    with ThreadPoolExecutor(1) as pool:  # Playwright's loop runs in this thread
        return pool.submit(asyncio.run, read()).result()


def duplicate(a: SceneSummary, b: SceneSummary, confidence: float = 97.0) -> Finding:
    """Returns two scenes as copies of each other; the larger picture stays."""
    keeper, other = (a, b) if a.files[0].width >= b.files[0].width else (b, a)
    lasts_s = min(a.files[0].duration_s, b.files[0].duration_s)
    reasons = [f"All {lasts_s:.0f} s show the same pictures.", "The same person is seen at the same times."]
    return Finding(
        target_type="scene",
        target_id=f"{a.id}:{b.id}",
        finding="same footage",
        evidence="files",
        title=f"{a.title} / {b.title}",
        summary=" ".join(reasons),
        confidence=confidence,
        details={
            "scenes": [a.model_dump(mode="json"), b.model_dump(mode="json")],
            "relation": "copy",
            "keeper": {"id": keeper.id, "reasons": ["it has the larger picture", "it has the higher bit rate"]},
            "reasons": reasons,
            "signals": {
                "stash_id": False,
                "phash_distance": 4,
                "frame_votes": 12,
                "pdq_distance": 17.5,
                "motion": 0.93,
                "faces_jaccard": 1.0,
                "metadata": ["cast and duration"],
            },
            "alignment": {
                "offset_s": 0.0,
                "speed": 1.0,
                "mirrored": False,
                "a": [0.0, lasts_s],
                "b": [0.0, lasts_s],
            },
            "group": a.id,
            "actions": {
                "merge_scenes": {"destination_id": keeper.id, "source_ids": [other.id]},
                "delete_scene": {"scene_id": other.id, "delete_file": False},
            },
        },
        keywords=(a.files[0].path, b.files[0].path),
    )


def many(number: int) -> list[Finding]:
    """Returns findings about scenes that need not exist, the surest first: "Scene 1" has the highest confidence."""
    return [
        Finding(
            target_type="scene",
            target_id=str(100_000 + n),
            finding="several files",
            evidence="e",
            title=f"Scene {n:05d}",
            summary=f"2 files; keep scene_{n:05d}.mp4 (the larger picture), which frees 1.2 GB.",
            confidence=round(95 - 60 * n / number, 3),
            details=_files(n),
            keywords=(f"/library/scene_{n:05d}.mp4",),
        )
        for n in range(1, number + 1)
    ]


def _files(n: int) -> dict[str, Any]:
    ids = str(2 * n), str(2 * n + 1)
    facts = {"duration_s": 1800.0, "video_codec": "h264", "bit_rate": 5_000_000, "frame_rate": 25.0}
    files = [
        {
            "id": file_id,
            "path": f"/library/scene_{n:05d}{more}.mp4",
            "size_bytes": size,
            "width": 16 * height // 9,
            "height": height,
            "score": score,
            "reasons": [],
            **facts,
        }
        for file_id, more, size, height, score in (
            (ids[0], "", 2_400_000_000, 1080, 90.0),
            (ids[1], "_small", 1_200_000_000, 720, 40.0),
        )
    ]
    scene = SceneSummary(
        id=str(100_000 + n),
        title=f"Scene {n:05d}",
        date="",
        studio=None,
        performers=(),
        tags=(),
        files=(),
        stash_ids=(),
        play_count=0,
        o_counter=0,
        organized=False,
        rating=None,
    )
    return {
        "scene": scene.model_dump(mode="json"),
        "files": files,
        "keeper_file_id": ids[0],
        "savings_bytes": 1_200_000_000,
        "reasons": ["Keep the file with the larger picture."],
        "actions": {"delete_scene_files": {"scene_id": scene.id, "keep_file_id": ids[0], "delete_file_ids": [ids[1]]}},
    }
