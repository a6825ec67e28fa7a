"""An analyzer as a job of the real server: found in Stash, listed, dismissed, and left alone by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve_app.conftest import Serving, until

TYPE = "duplicate_scene_files"


@pytest.fixture
def second_file(server: Serving) -> Iterator[str]:
    """Id of a scene that has a second file, as long as the test runs."""
    library = server.stash.library
    scene = next(iter(library.scenes.values()))
    before = scene.file_ids
    first = library.files[before[0]]
    facts: dict[str, Any] = {"width": 2 * first.width, "height": 2 * first.height, "duration": first.duration}
    better = library.add_file(
        kind="video", path="/data/better.mkv", size=9_000_000, video_codec="av1", bit_rate=8_000_000, **facts
    )
    scene.file_ids = (*before, better.id)
    library.touch(scene)
    yield str(scene.id)
    scene.file_ids = before
    library.drop_file(better.id, delete=True)
    library.touch(scene)


def analyzed(client: httpx.Client, **params: Any) -> dict[str, Any]:
    job = client.post("/queue", json={"type": f"analyze_{TYPE}", "params": params}).json()

    def ended() -> dict[str, Any] | None:
        now: dict[str, Any] = client.get(f"/queue/{job['id']}").json()
        return now if now["ended_at"] else None

    done: dict[str, Any] = until(ended, 120, "the end of the job")
    assert done["state"] == "done", done["error_message"]
    result: dict[str, Any] = done["result"]
    return result


def test_from_the_job_to_the_dismissal(client: httpx.Client, second_file: str):
    result = analyzed(client)
    assert (result["new"], result["failed"]) == (1, 0)
    (one,) = client.get("/recommendations", params={"type": TYPE, "status": "pending"}).json()["recommendations"]
    assert (one["target_type"], one["target_id"]) == ("scene", second_file)
    assert len(one["details"]["actions"]["delete_scene_files"]["delete_file_ids"]) == 1
    client.post(f"/recommendations/{one['id']}/dismiss", json={"mode": "until_changed"}).raise_for_status()
    again = analyzed(client, full=True)
    assert (again["full"], again["new"], again["unchanged"]) == (True, 0, 1)
    assert client.get(f"/recommendations/{one['id']}").json()["status"] == "dismissed"
    types = {kind["id"]: kind for kind in client.get("/recommendations/types").json()["types"]}
    assert types[TYPE]["last_run"]["state"] == "done"
    assert types[TYPE]["watermark_at"] is not None
    schedule = client.put(f"/queue/schedules/analyze_{TYPE}", json={"enabled": False}).json()
    assert schedule["interval_hours"] == 168
