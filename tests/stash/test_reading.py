"""Reads against the fake Stash: every version, a large library, a library that changes, filters."""

from __future__ import annotations

import itertools
from pathlib import Path

import psutil
import pytest

from pipelines.errors import InputError, StashNotFound, StashUnknownField
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS, PERFORMER, SCENE, VISUAL_FILE
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import ImageFile, Outline, Scene, VideoFile
from pipelines.stash.watermark import latest, updated_since
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, Library, sample_library
from tests.fakes.stash import StashId as FakeStashId
from tests.stash.conftest import listed, queries, using

VERSIONS = ["0.25", "0.26", "0.27", "0.28", "0.29", "0.30", "0.31"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_answers_every_read(shared_stash: FakeStash, version: str):
    shared_stash.knobs.version = version
    boxed = next(scene for scene in shared_stash.library.scenes.values() if scene.stash_ids)

    async def use(library: StashLibrary) -> None:
        assert (await library.version()).startswith(f"v{version}")
        assert (await library.stats()).scenes == 60
        assert await library.count_scenes() == 60
        assert len(await listed(library.scenes(page_size=25))) == 60
        assert len(await listed(library.scenes(detail="scan"))) == 60
        assert len(await listed(library.images())) == 12
        assert len(await listed(library.images(gallery_id="2"))) == 4
        assert len(await listed(library.galleries())) == 3
        performers = await listed(library.performers(page_size=7))
        assert [p.id for p in performers] == [str(i) for i in range(20, 0, -1)]
        assert all(p.name for p in performers)
        assert any(p.universal_ids for p in performers)
        studios, tags = await listed(library.studios(page_size=5)), await listed(library.tags(page_size=7))
        assert (len(studios), len(tags)) == (len(shared_stash.library.studios), len(shared_stash.library.tags))
        assert len(await listed(library.outlines("scene"))) == 60
        configuration = await library.configuration()
        assert {box.endpoint for box in configuration.stash_boxes} == {STASHDB, FANSDB}
        linked = await listed(library.scenes(filter=await library.linked("scene", configuration.stash_boxes[0])))
        assert str(boxed.id) in {scene.id for scene in linked}
        assert len(linked) < 60
        assert await library.jobs() == []
        for one in (
            library.scene("1"),
            library.image("1"),
            library.gallery("1"),
            library.studio("1"),
            library.tag("1"),
        ):
            assert (await one).id == "1"

    try:
        using(shared_stash, use)
    finally:
        shared_stash.knobs.version = "0.31"


def test_a_scene_has_all_that_stash_says(shared_stash: FakeStash):
    row = shared_stash.library.scenes[1]
    file = shared_stash.library.files[row.file_ids[0]]
    scene = using(shared_stash, lambda library: library.scene("1"))
    assert (scene.title, scene.date, scene.created_at) == (row.title, row.date or "", row.created_at)
    assert [p.id for p in scene.performers] == [str(i) for i in row.performer_ids]
    primary = scene.primary_file
    assert isinstance(primary, VideoFile)
    assert (primary.path, primary.size_bytes, primary.duration_s) == (file.path, file.size, file.duration)
    assert {f.type: f.value for f in primary.fingerprints} == dict(file.fingerprints)
    assert scene.paths.stream.endswith("/scene/1/stream")
    assert scene.studio is None or scene.studio.name


def test_older_performers_have_their_single_addresses(shared_stash: FakeStash):
    shared_stash.library.performers[3].urls = ("https://example.test/three",)
    shared_stash.knobs.version = "0.25"
    try:
        performer = using(shared_stash, lambda library: library.performer("3"))
    finally:
        shared_stash.knobs.version = "0.31"
    assert performer.urls == ("https://example.test/three",)


def test_real_media_have_real_facts(data: Path):
    with FakeStash(sample_library(data)) as stash:

        async def use(library: StashLibrary) -> tuple:
            images = await listed(library.images())
            return await listed(library.scenes()), images

        scenes, images = using(stash, use)
    assert all(isinstance(image.primary_file, ImageFile) and image.galleries for image in images)
    assert {f.type for scene in scenes for f in scene.files[0].fingerprints} >= {"oshash"}


def test_a_large_library_is_paged_in_bounded_memory():
    library_rows = Library()
    for _ in range(100_000):
        library_rows.add("scene", now="2024-01-01T00:00:00Z")
    with FakeStash(library_rows) as stash:
        process, sizes = psutil.Process(), []

        async def use(library: StashLibrary) -> int:
            count, last = 0, 0
            async for outline in library.outlines("scene"):
                assert int(outline.id) > last
                count, last = count + 1, int(outline.id)
                if count % 10_000 == 1:
                    sizes.append(process.memory_info().rss)
            return count

        assert using(stash, use) == 100_000
        pages = queries(stash, "findScenes")
    assert len(pages) == 21
    assert all("count" not in one.query for one in pages)
    assert sizes[-1] - sizes[2] < 8_000_000  # 70,000 outlines that are kept take 16 MB


def test_newest_come_first(shared_stash: FakeStash):
    found = using(shared_stash, lambda library: listed(library.scenes(newest_first=True, page_size=25)))
    assert [int(scene.id) for scene in found] == list(range(60, 0, -1))


def test_ids_that_vanish_are_left_out(stash: FakeStash):
    stash.vanish([3, 17, 44])

    async def use(library: StashLibrary) -> list[Scene]:
        return await listed(library.scenes(ids=[str(i) for i in range(1, 61)], page_size=25))

    assert {int(scene.id) for scene in using(stash, use)} == set(range(1, 61)) - {3, 17, 44}
    assert using(stash, lambda library: listed(library.scenes(ids=["999"]))) == []
    assert using(stash, lambda library: listed(library.performers(ids=["2", "999", "1"])))[0].id in {"1", "2"}


def test_no_ids_are_not_all_ids(stash: FakeStash):
    assert using(stash, lambda library: listed(library.scenes(ids=[]))) == []
    assert queries(stash, "findScenes") == []


def test_ids_and_a_filter_together_are_refused(shared_stash: FakeStash):
    with pytest.raises(InputError):
        using(shared_stash, lambda library: listed(library.scenes(ids=["1"], filter={"organized": True})))


@pytest.mark.parametrize("kind", ["scene", "performer"])
def test_rows_that_vanish_between_pages_hide_no_others(stash: FakeStash, kind: str):
    async def use(library: StashLibrary) -> list[int]:
        found = []
        pages = library.scenes(page_size=5, detail="outline") if kind == "scene" else library.performers(page_size=5)
        async for item in pages:
            if len(found) == 5:
                stash.vanish([1, 2, 19], kind)
            found.append(int(item.id))
        return found

    found = using(stash, use)
    there = set(stash.library.table(kind).ids)
    assert len(found) == len(set(found))
    assert there <= set(found)


def test_count_is_asked_on_page_1_only(stash: FakeStash):
    using(stash, lambda library: listed(library.performers(page_size=5)))
    pages = queries(stash, "findPerformers")
    assert [one.variables["filter"]["page"] for one in pages] == [1, 2, 3, 4, 5]
    assert ["count" in one.query.split("performers")[0] for one in pages] == [True, False, False, False, False]
    assert all(one.variables["filter"]["sort"] == "id" for one in pages)


def test_a_filter_of_the_caller_holds_on_every_page(stash: FakeStash):
    performer = stash.library.scenes[1].performer_ids[0]
    named = {"performers": {"value": [str(performer)], "modifier": "INCLUDES"}}
    wanted = [s.id for s in stash.library.scenes.values() if performer in s.performer_ids]
    other = next(i for i in range(2, 61) if i not in wanted)
    either = {"OR": {"id": {"value": other, "modifier": "EQUALS"}}, **named}

    async def use(library: StashLibrary) -> tuple:
        ids = [int(s.id) for s in await listed(library.scenes(filter=named, page_size=2))]
        both = [int(s.id) for s in await listed(library.scenes(filter=either, page_size=2))]
        none = await listed(library.images(gallery_id="1", filter={"organized": True}))
        return ids, both, none, await library.count_scenes(named)

    ids, both, none, count = using(stash, use)
    assert ids == wanted
    assert both == sorted({*wanted, other})
    assert none == []
    assert count == len(wanted)


def test_what_changed_is_found_from_a_watermark(stash: FakeStash):
    async def use(library: StashLibrary) -> list[Outline]:
        watermark = latest([o.updated_at async for o in library.outlines("scene")])
        assert watermark is not None
        stash.library.touch(stash.library.scenes[7])
        return await listed(library.outlines("scene", filter=updated_since(watermark)))

    changed = using(stash, use)
    assert "7" in {outline.id for outline in changed}
    assert len(changed) < 15


def test_one_entry_of_a_box_is_found(stash: FakeStash):
    async def use(library: StashLibrary) -> list:
        boxes = (await library.configuration()).stash_boxes
        performer = await library.performer("4")
        link = performer.stash_ids[0]
        box = next(b for b in boxes if b.endpoint == link.endpoint)
        return await listed(library.performers(filter=await library.linked("performer", box, link.stash_id)))

    assert [p.id for p in using(stash, use)] == ["4"]


def test_links_of_tags_are_said_to_be_unknown_before_0_30(stash: FakeStash):
    stash.knobs.version = "0.29"

    async def use(library: StashLibrary) -> None:
        await library.linked("tag", (await library.configuration()).stash_boxes[0])

    with pytest.raises(StashUnknownField, match="tag"):
        using(stash, use)


def test_performers_are_found_by_words(stash: FakeStash):
    name = stash.library.performers[5].name
    found = using(stash, lambda library: library.find_performers(name))
    assert "5" in {p.id for p in found}
    assert using(stash, lambda library: library.find_performers("nobody of that name")) == []


@pytest.mark.parametrize("one_id", ["999", "abc", "-1", "", "1 OR 1"])
def test_what_is_not_there_is_named(shared_stash: FakeStash, one_id: str):
    for call in ("scene", "image", "gallery", "performer", "studio", "tag"):
        with pytest.raises(StashNotFound, match=call):
            using(shared_stash, lambda library, call=call: getattr(library, call)(one_id))


def test_links_without_a_date_are_read(stash: FakeStash):
    stash.library.performers[1].stash_ids = (FakeStashId(STASHDB, "x-1"),)
    stash.knobs.version = "0.27"
    assert using(stash, lambda library: library.performer("1")).universal_ids == ("stashdb.org:x-1",)


def features(**types: tuple[str, ...]) -> Features:
    return Features({kind: frozenset(names) for kind, names in types.items()}, {})


def test_a_selection_holds_only_what_the_server_knows():
    known = features(Scene=("id", "title", "files", "studio"), VideoFile=("id", "path"), Studio=())
    assert SCENE.render(known) == "{ id title files { id path } }"
    assert PERFORMER.render(features(Performer=("id", "url", "twitter"))) == "{ id url twitter }"
    assert PERFORMER.render(features(Performer=("id", "url", "urls"))) == "{ id urls }"
    files = features(ImageFile=("id",), VisualFile=())
    assert VISUAL_FILE.render(files) == "{ __typename ... on ImageFile { id } }"
    assert FINDERS["tag"].selection("outline").render(features(Tag=("id",))) == "{ id }"


def test_every_selection_is_of_fields_that_some_version_knows(shared_stash: FakeStash):
    """A misspelt field would be left out everywhere, and silently."""
    everything: dict[str, set[str]] = {}
    for version in VERSIONS:
        shared_stash.knobs.version = version
        known = using(shared_stash, lambda library: library.client.features())
        for kind, names in known.fields.items():
            everything.setdefault(kind, set()).update(names)
    not_in_the_fake = {"Scene": {"groups"}, "SceneGroup": {"scene_index", "group"}, "Group": {"id"}}

    def walk(selection):
        yield selection
        for inner in itertools.chain(selection.nested.values(), selection.members):
            yield from walk(inner)

    for finder in FINDERS.values():
        for selection in itertools.chain(walk(finder.full), walk(finder.scan)):
            asked = {*selection.plain, *selection.nested, *itertools.chain(*selection.instead.values())}
            assert asked - everything.get(selection.kind, set()) <= not_in_the_fake.get(selection.kind, set())
