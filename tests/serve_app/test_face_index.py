"""The FaceIndex follows the database: versions, the exclusion list, erasures. In this process, without Ray or HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import DatabaseMissing
from pipelines.faces.options import IdentifyOptions
from pipelines.faces.sightings import Sightings
from pipelines.rematch import rematch
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.deployments import library
from serve_app.deployments.face_index import FaceIndex
from tests.bench.match_library import Faces, enrol, scene_scan
from tests.store.performers import people, put, raw

ONE, TWO, THREE = (p.universal_id for p in people(1, 2, 3))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def database(settings: Settings) -> PerformerDatabase:
    return PerformerDatabase(settings.database_path)


class Asking:
    """A FaceIndex and one picture with two faces each of the first three people."""

    def __init__(self, settings: Settings) -> None:
        self.index = FaceIndex(settings)
        six = np.arange(6, dtype=np.float32)
        boxes = np.stack([six * 100, six, six * 100 + 80, six + 80], axis=1)
        self.faces = Sightings(np.zeros(6, np.int32), boxes, np.ones(6, np.float32), np.ones(6, np.float32), raw(6, 4))

    async def start(self, version: str | None = None) -> None:
        await self.index.reconfigure({"version": version})

    async def ask(self, *tagged: str) -> set[str] | str:
        """Returns everybody whom the answer mentions, or the code of the error."""
        named = await self.index.image(self.faces, IdentifyOptions(top_k=5, max_distance=0.9), tagged)
        if isinstance(named, Exception):
            return str(getattr(named, "code", named))
        found = {match.universal_id for person in named.people for match in person.candidates}
        assert set(named.about) <= found
        return found | {person.match.universal_id for person in named.people if person.match}

    async def until(self, expected: set[str] | str, *tagged: str) -> None:
        """Waits until the answer is that; a second is allowed, and some for a slow machine."""
        end = time.monotonic() + 6
        while (found := await self.ask(*tagged)) != expected:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)


def run(settings: Settings, scenario: Callable[[Asking], Awaitable[None]]) -> None:
    asyncio.run(scenario(Asking(settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("pinned", [False, True])
def test_who_is_excluded_is_not_answered_a_second_later(
    settings: Settings, database: PerformerDatabase, pinned: bool
) -> None:
    version = put(database, "release:a", *people(1, 2, 3), seed=4)

    async def scenario(asking: Asking) -> None:
        await asking.start(version if pinned else None)
        assert await asking.ask(ONE) == {ONE, TWO, THREE}
        new = database.exclude([ONE])
        await asking.until({TWO, THREE}, ONE)
        assert await asking.index.version() == (version if pinned else new)
        assert (await asking.index.info())["performer_count"] == 2
        database.use(version)
        await asking.until({TWO, THREE}, ONE)
        database.include([ONE])
        await asking.until({ONE, TWO, THREE})

    run(settings, scenario)


def test_a_pinned_version_that_was_written_anew_is_replaced(settings: Settings, database: PerformerDatabase) -> None:
    version = put(database, "release:a", *people(1, 2, 3), seed=4)
    put(database, "release:a", *people(1, 2))

    async def scenario(asking: Asking) -> None:
        await asking.start(version)
        assert await asking.ask() == {ONE, TWO, THREE}
        database.erase([TWO])
        await asking.until({ONE, THREE})
        assert await asking.index.version() == database.written_anew(version) != version

    run(settings, scenario)


def test_a_pinned_version_that_is_gone_is_served_until_an_erasure(
    settings: Settings, database: PerformerDatabase
) -> None:
    version = put(database, "release:a", *people(1, 2, 3), seed=4)
    put(database, "release:a", *people(1, 2))

    async def scenario(asking: Asking) -> None:
        await asking.start(version)
        database.remove(version)
        await asking.index.reload()
        assert await asking.ask() == {ONE, TWO, THREE}
        database.erase([TWO])
        await asking.until(DatabaseMissing.code)

    run(settings, scenario)


def test_when_nobody_is_left_nothing_is_served(settings: Settings, database: PerformerDatabase) -> None:
    put(database, "release:a", *people(1, 2, 3), seed=4)

    async def scenario(asking: Asking) -> None:
        await asking.start()
        assert await asking.ask() == {ONE, TWO, THREE}
        database.remove_source("release:a")
        await asking.until(DatabaseMissing.code)
        put(database, "release:b", *people(1, 2, 3), seed=4)
        await asking.until({ONE, TWO, THREE})

    run(settings, scenario)


def test_stored_matches_do_not_answer_who_is_excluded(settings: Settings, database: PerformerDatabase) -> None:
    from pipelines.store.templates import ScanDataset

    drawn = Faces(40)
    enrol(settings.database_path, drawn, 40, 120)
    dataset = ScanDataset(settings.scans_path)
    for number in range(4):
        dataset.write(scene_scan(drawn, number, 40))
    rematch(settings)
    before = [library.stored_people(settings, "scene", str(n)) for n in range(4)]
    named = [p["universal_id"] for content in before if content for p in content["people"]]
    someone = max(named, key=named.count)
    database.exclude([someone])
    after = [library.stored_people(settings, "scene", str(n)) for n in range(4)]
    assert f"'{someone}'" not in str(after)
    for old, new in zip(before, after, strict=True):
        assert old is not None
        assert new is not None
        assert len(old["people"]) + len(old["unknown"]) == len(new["people"]) + len(new["unknown"])
        kept = [p["universal_id"] for p in old["people"] if p["universal_id"] != someone]
        assert [p["universal_id"] for p in new["people"]] == kept
