"""A small Stash that has one of everything an action may touch, and a store beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipelines.actions import keep_preview, perform, preview, undo
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord
from pipelines.store.sql import Store, open_store
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, Library
from tests.fakes.stash import StashId as Link
from tests.stash.conftest import using

T = TypeVar("T")
COVER, OTHER_COVER, PORTRAIT = b"\xff\xd8 cover", b"\xff\xd8 other cover", b"\xff\xd8 portrait"
BEGIN = 1_700_000_000


def rich_library(**options: Any) -> Library:
    """Scenes 1 to 4 (1 and 2 are the same film), performers 1 to 4, images 1 to 3, galleries 1 (by hand) and 2."""
    library = Library(**options)
    library.roots["/data"] = None
    for name in ("outdoor", "indoor", "night", "rain"):
        library.add("tag", name=name)
    library.add("studio", name="North Pictures")
    library.add("studio", name="South Pictures")
    for name in ("First series", "Second series"):
        library.add_group(name)
    library.add("gallery", title="Picked by hand")
    library.add("gallery", title="From a folder", folder="/data/set")
    _people(library)
    _films(library)
    _images(library)
    library.revision += 1
    return library


def _people(library: Library) -> None:
    link = Link(STASHDB, "aaaa", "2024-01-01T00:00:00Z")
    library.add(
        "performer", name="Ada Abel", gender="FEMALE", stash_ids=(link,), tag_ids=(1,), urls=("https://a.example",)
    )
    library.add(
        "performer",
        name="A. Abel",
        disambiguation="the other",
        alias_list=("Addie",),
        country="DE",
        height_cm=170,
        birthdate="1990-02-03",
        stash_ids=(Link(STASHDB, "bbbb", "2024-01-01T00:00:00Z"), Link(FANSDB, "cccc", "2024-01-01T00:00:00Z")),
        tag_ids=(1, 2),
        urls=("https://b.example",),
        favorite=True,
        rating100=80,
        custom_fields={"agency": "North"},
        image=PORTRAIT,
    )
    library.add("performer", name="Bela Berg")
    library.add("performer", name="Cleo Clark")


def _films(library: Library) -> None:
    def file(number: int, folder: str = "/data", **facts: Any) -> int:
        known = {"size": 1000 + number, "format": "mp4", "width": 1920, "height": 1080, "duration": 60.0, **facts}
        prints = (("oshash", f"{number:016x}"),)
        return library.add_file(kind="video", path=f"{folder}/film_{number}.mp4", fingerprints=prints, **known).id

    first, second, third, fourth, fifth = (file(n) for n in range(1, 6))
    library.add(
        "scene",
        now=library.text_time(BEGIN),
        title="Harbour",
        date="2015-06-01",
        details="A harbour.",
        urls=("https://one.example/1",),
        studio_id=1,
        performer_ids=(1, 3),
        tag_ids=(1,),
        gallery_ids=(1,),
        group_places=((1, 3),),
        stash_ids=(Link(STASHDB, "s-1", "2024-01-01T00:00:00Z"),),
        file_ids=(first,),
        play_history=("2024-03-01T10:00:00Z",),
        play_duration=10.0,
    )
    library.add(
        "scene",
        now=library.text_time(BEGIN + 3600),
        title="Harbour (copy)",
        code="H-1",
        director="Dora",
        date="2014-05-01",
        urls=("https://one.example/1", "https://two.example/2"),
        rating100=80,
        organized=True,
        studio_id=2,
        performer_ids=(2, 3),
        tag_ids=(2, 3),
        gallery_ids=(1, 2),
        group_places=((1, None), (2, 7)),
        stash_ids=(Link(STASHDB, "s-2", "2024-01-01T00:00:00Z"), Link(FANSDB, "f-2", "2024-01-01T00:00:00Z")),
        file_ids=(second, third),
        play_history=("2024-03-02T10:00:00Z", "2024-03-01T10:00:00Z"),
        o_history=("2024-03-02T10:05:00Z",),
        play_duration=20.5,
        custom_fields={"shelf": "B"},
        cover=COVER,
    )
    library.add("scene", title="Garden", performer_ids=(2,), file_ids=(fourth,))
    library.add("scene", title="Meadow", performer_ids=(1, 2), file_ids=(fifth,))
    library.add_marker(1, "boat", 3.0, 1)
    marker = library.add_marker(2, "gull", 12.5, 2)
    marker.end_seconds, marker.tag_ids = 15.0, (3,)


def _images(library: Library) -> None:
    for number, (galleries, people, tags) in enumerate((((2,), (3,), (1,)), ((1, 2), (2,), (2,)), ((), (), ())), 1):
        file = library.add_file(
            kind="image", path=f"/data/set/{number}.jpg", size=10 * number, format="jpeg", width=10, height=10
        )
        library.add(
            "image",
            title=f"picture {number}",
            file_ids=(file.id,),
            gallery_ids=galleries,
            performer_ids=people,
            tag_ids=tags,
            rating100=60 if number == 2 else None,
            date="2014-01-01" if number == 2 else None,
        )


def everything(library: Library, renamed: Mapping[tuple[str, int], int] | None = None) -> dict[str, Any]:
    """Returns all rows of a library as they are, without what time alone changes.

    Args:
        renamed: (table, id that a row has now) -> id that it had before.
    """
    tables = ("scenes", "images", "galleries", "performers", "studios", "tags", "groups", "markers", "files")
    names = renamed or {}
    found: dict[str, Any] = {}
    for table in tables:
        rows = {}
        for row in getattr(library, table).values():
            values = {k: v for k, v in asdict(row).items() if k not in {"updated_at", "created_at", "mod_time"}}
            if (table, row.id) in names:
                values["id"] = names[table, row.id]
                values["renamed"] = True
            rows[values["id"]] = _comparable(values, names)
        found[table] = rows
    return found


def _comparable(values: dict[str, Any], names: Mapping[tuple[str, int], int]) -> dict[str, Any]:
    """Lists without an order as sets, and links without the time at which they were made."""
    values.pop("renamed", None)
    for key in ("performer_ids", "gallery_ids", "tag_ids", "group_places", "urls", "alias_list"):
        if key in values:
            table = {"performer_ids": "performers", "gallery_ids": "galleries"}.get(key, key)
            values[key] = sorted((names.get((table, v), v) for v in values[key]), key=str)
    if "stash_ids" in values:
        values["stash_ids"] = sorted((v["endpoint"], v["stash_id"]) for v in values["stash_ids"])
    if "scene_id" in values:
        values["scene_id"] = names.get(("scenes", values["scene_id"]), values["scene_id"])
    for key in ("play_history", "o_history"):
        if key in values:
            values[key] = sorted(values[key])
    for key, value in values.items():
        if value in ("", {}):
            values[key] = None
    return values


def run(stash: FakeStash, use: Callable[[StashLibrary], Awaitable[T]]) -> T:
    return using(stash, use)


def act(stash: FakeStash, store: Store, action: str, **params: Any) -> ActionRecord:
    """Previews an action and carries it out as it was shown."""

    async def use(library: StashLibrary) -> ActionRecord:
        plan = await preview(library, action, params)
        await keep_preview(store, plan)
        return await perform(library, store, action, params, plan.digest)

    return run(stash, use)


def take_back(stash: FakeStash, store: Store, action_id: int) -> ActionRecord:
    async def use(library: StashLibrary) -> ActionRecord:
        return await undo(library, store, action_id)

    return run(stash, use)


@pytest.fixture
def stash() -> Iterator[FakeStash]:
    """The rich library, for the test alone."""
    with FakeStash(rich_library()) as stash:
        yield stash


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    opened.close()
