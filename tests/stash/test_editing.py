"""Writes against the fake Stash, every version: what is changed, what is left alone, what is refused."""

from __future__ import annotations

import asyncio

import pytest

from pipelines.errors import InputError, StashNotFound, StashRejected, StashUnknownField
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import StashId
from tests.fakes.stash import FANSDB, STASHDB, FakeStash
from tests.fakes.stash import StashId as FakeStashId
from tests.stash.conftest import queries, using

VERSIONS = ["0.25", "0.26", "0.27", "0.28", "0.29", "0.30", "0.31"]


@pytest.mark.parametrize("version", ["0.25", "0.31"])
def test_updates_change_what_is_named_and_nothing_else(stash: FakeStash, version: str):
    stash.knobs.version = version
    rows = stash.library
    before = (rows.scenes[1].date, rows.scenes[1].performer_ids)

    async def use(library: StashLibrary) -> None:
        await library.update_scene("1", title="new", organized=True, details=None)
        await library.update_image("2", title="picture", performer_ids=["3"])
        await library.update_gallery("3", details="all of them")
        await library.update_performer("4", country="NZ", alias_list=["Four"])
        await library.update_studio("5", details="a house")
        await library.update_tag("6", description="a word")

    using(stash, use)
    assert (rows.scenes[1].title, rows.scenes[1].organized, rows.scenes[1].details) == ("new", True, "")
    assert (rows.scenes[1].date, rows.scenes[1].performer_ids) == before
    assert (rows.images[2].title, rows.images[2].performer_ids) == ("picture", (3,))
    assert rows.galleries[3].details == "all of them"
    assert (rows.performers[4].country, rows.performers[4].alias_list) == ("NZ", ("Four",))
    assert (rows.studios[5].details, rows.tags[6].description) == ("a house", "a word")


def test_a_field_that_the_version_lacks_is_refused_before_anything_is_sent(stash: FakeStash):
    stash.knobs.version = "0.30"

    async def use(library: StashLibrary) -> None:
        await library.update_performer("1", career_start="2001", country="NZ")

    with pytest.raises(StashUnknownField, match=r"PerformerUpdateInput\.career_start"):
        using(stash, use)
    assert queries(stash, "performerUpdate") == []


def test_what_is_missing_or_not_allowed_is_named(stash: FakeStash):
    name = stash.library.performers[2].name

    async def use(library: StashLibrary) -> None:
        with pytest.raises(StashNotFound):
            await library.update_scene("999", title="x")
        with pytest.raises(StashRejected):
            await library.update_performer("1", name=name, disambiguation="")

    using(stash, use)


@pytest.mark.parametrize("version", ["0.25", "0.31"])
def test_things_are_made(stash: FakeStash, version: str):
    stash.knobs.version = version

    async def use(library: StashLibrary) -> list[str]:
        links = [StashId(STASHDB, "new-1")]
        performer = await library.create_performer(name="Neva New", urls=["https://a.test"], stash_ids=links)
        return [performer, await library.create_studio(name="New House"), await library.create_tag(name="new word")]

    performer, studio, tag = using(stash, use)
    row = stash.library.performers.one(performer)
    assert (row.name, row.urls, row.stash_ids[0].stash_id) == ("Neva New", ("https://a.test",), "new-1")
    assert (stash.library.studios.one(studio).name, stash.library.tags.one(tag).name) == ("New House", "new word")


def test_an_old_version_keeps_one_address_and_says_so(stash: FakeStash):
    stash.knobs.version = "0.25"
    with pytest.raises(StashUnknownField, match="one address"):
        using(stash, lambda library: library.update_performer("1", urls=["https://a.test", "https://b.test"]))


@pytest.mark.parametrize(
    ("kind", "version"), [("scene", "0.25"), ("performer", "0.28"), ("studio", "0.31"), ("tag", "0.30")]
)
def test_links_are_added_and_removed_without_losing_others(stash: FakeStash, kind: str, version: str):
    stash.knobs.version = version
    row = stash.library.table(kind)[1]
    row.stash_ids = (
        FakeStashId(STASHDB, "a", "2024-01-01T00:00:00Z"),
        FakeStashId(FANSDB, "b", "2024-01-02T00:00:00Z"),
    )

    async def use(library: StashLibrary) -> tuple:
        more = [StashId(STASHDB, "c")]
        await library.relink(kind, "1", add=iter(more), remove=iter([StashId(STASHDB, "a")]))
        return await library.relink(kind, "1", add=more)

    links = using(stash, use)
    assert {(link.endpoint, link.stash_id) for link in links} == {(FANSDB, "b"), (STASHDB, "c")}
    assert {(s.endpoint, s.stash_id) for s in row.stash_ids} == {(FANSDB, "b"), (STASHDB, "c")}
    if version != "0.25":  # Stash has dates of links since 0.28
        assert next(s for s in row.stash_ids if s.stash_id == "b").updated_at.startswith("2024-01-02")
    assert len(queries(stash, f"{kind}Update")) == 1  # the second call changed nothing


def test_links_added_at_the_same_time_all_stay(stash: FakeStash):
    stash.knobs.latency_s = 0.01

    async def use(library: StashLibrary) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(library.relink("performer", "1", add=[StashId(STASHDB, f"new-{number}")]))

    using(stash, use)
    assert {f"new-{n}" for n in range(6)} <= {s.stash_id for s in stash.library.performers[1].stash_ids}


def test_links_of_what_has_none_are_refused(stash: FakeStash):
    with pytest.raises(StashUnknownField):
        using(stash, lambda library: library.relink("image", "1", add=[StashId(STASHDB, "a")]))
    with pytest.raises(StashNotFound):
        using(stash, lambda library: library.relink("scene", "999", add=[StashId(STASHDB, "a")]))


@pytest.mark.parametrize("kind", ["scene", "image", "gallery"])
def test_performers_are_added_beside_those_who_are_there(stash: FakeStash, kind: str):
    table = stash.library.table(kind)
    table[1].performer_ids, table[2].performer_ids = (1, 2), ()

    async def use(library: StashLibrary) -> None:
        await library.add_performers(kind, ["1", "2"], ["2", "5"])
        await library.remove_performers(kind, ["1"], ["1"])

    using(stash, use)
    assert (set(table[1].performer_ids), set(table[2].performer_ids)) == ({2, 5}, {2, 5})


def test_adding_to_more_than_one_request_can_hold(stash: FakeStash, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.stash.editing.BULK_SIZE", 25)
    ids = [str(i) for i in range(1, 61)]
    using(stash, lambda library: library.add_performers("scene", ids, ["20"]))
    assert all(20 in scene.performer_ids for scene in stash.library.scenes.values())
    assert len(queries(stash, "bulkSceneUpdate")) == 3
    with pytest.raises(StashNotFound):
        using(stash, lambda library: library.add_performers("scene", ["1", "999"], ["19"]))


def two_performers(stash: FakeStash) -> None:
    kept, gone = stash.library.performers[1], stash.library.performers[2]
    kept.name, gone.name, gone.alias_list = "Ada Abel", "Ada B", ("Adabel",)
    kept.stash_ids, gone.stash_ids = (FakeStashId(STASHDB, "a"),), (FakeStashId(FANSDB, "b"),)
    kept.urls, gone.urls, gone.height_cm, kept.height_cm = (), ("https://a.test",), 171, None
    for table in (stash.library.scenes, stash.library.images, stash.library.galleries):
        for row in table.values():
            row.performer_ids = {0: (1,), 1: (2, 3), 2: (1, 2)}[row.id % 3]
    stash.library.revision += 1


@pytest.mark.parametrize("version", VERSIONS)
def test_merged_performers_keep_everything_on_every_version(stash: FakeStash, version: str):
    stash.knobs.version = version
    two_performers(stash)
    performer = using(stash, lambda library: library.merge_performers(["2"], "1", {"country": "NZ"}))
    assert set(performer.aliases) == {"Ada B", "Adabel"}
    assert {link.stash_id for link in performer.stash_ids} == {"a", "b"}
    assert (performer.urls, performer.height_cm, performer.country) == (("https://a.test",), 171, "NZ")
    assert 2 not in stash.library.performers
    for table in (stash.library.scenes, stash.library.images, stash.library.galleries):
        for row in table.values():
            assert set(row.performer_ids) == {0: {1}, 1: {1, 3}, 2: {1}}[row.id % 3]
    assert bool(queries(stash, "performerMerge")) == (version == "0.31")


def test_an_interrupted_merge_can_be_done_again(stash: FakeStash):
    stash.knobs.version = "0.30"
    two_performers(stash)

    async def use(library: StashLibrary) -> None:
        await library.client.features()
        seen = 0
        execute = library.client._send

        async def dies(query, *rest, **options):
            nonlocal seen
            seen += "bulkImageUpdate" in query
            if seen:
                raise ConnectionError
            return await execute(query, *rest, **options)

        library.client._send = dies
        with pytest.raises(ConnectionError):
            await library.merge_performers(["2"], "1")
        library.client._send = execute
        assert 2 in stash.library.performers
        await library.merge_performers(["2"], "1")

    using(stash, use)
    assert 2 not in stash.library.performers
    for table in (stash.library.scenes, stash.library.images, stash.library.galleries):
        assert all({0: {1}, 1: {1, 3}, 2: {1}}[r.id % 3] == set(r.performer_ids) for r in table.values())


def test_a_merge_with_somebody_missing_changes_nothing(stash: FakeStash):
    for version in ("0.30", "0.31"):
        stash.knobs.version = version
        revision = stash.library.revision
        with pytest.raises(StashNotFound, match="999"):
            using(stash, lambda library: library.merge_performers(["2", "999"], "1"))
        assert stash.library.revision == revision


@pytest.mark.parametrize(("sources", "destination"), [([], "1"), (["1", "2"], "1")])
def test_a_merge_into_itself_is_refused(stash: FakeStash, sources: list[str], destination: str):
    with pytest.raises(InputError):
        using(stash, lambda library: library.merge_performers(sources, destination))
    with pytest.raises(InputError):
        using(stash, lambda library: library.merge_scenes(sources, destination))


def test_merged_scenes_have_all_files_and_the_given_values(stash: FakeStash):
    first, second = stash.library.scenes[1], stash.library.scenes[2]
    files = (*first.file_ids, *second.file_ids)
    values = {"performer_ids": ["1", "2"], "stash_ids": [StashId(STASHDB, "a"), StashId(FANSDB, "b")]}
    scene = using(stash, lambda library: library.merge_scenes(["2"], "1", values))
    assert {f.id for f in scene.files} == {str(i) for i in files}
    assert {p.id for p in scene.performers} == {"1", "2"}
    assert {s.stash_id for s in scene.stash_ids} == {"a", "b"}
    assert 2 not in stash.library.scenes


def test_scenes_are_removed_all_or_none(stash: FakeStash):
    with pytest.raises(StashNotFound):
        using(stash, lambda library: library.destroy_scenes(["5", "999"]))
    assert 5 in stash.library.scenes
    file_id = stash.library.scenes[5].file_ids[0]
    using(stash, lambda library: library.destroy_scenes(["5"]))
    assert 5 not in stash.library.scenes
    assert file_id in stash.library.files
    file_id = stash.library.scenes[6].file_ids[0]
    using(stash, lambda library: library.destroy_scenes(["6"], destroy_file_entry=True))
    assert file_id not in stash.library.files
    stash.knobs.version = "0.30"
    with pytest.raises(StashUnknownField, match="destroy_file_entry"):
        using(stash, lambda library: library.destroy_scenes(["7"], destroy_file_entry=True))


def test_files_are_moved_deleted_and_marked(stash: FakeStash):
    rows = stash.library
    first, second = rows.scenes[1].file_ids[0], rows.scenes[2].file_ids[0]

    async def use(library: StashLibrary) -> None:
        with pytest.raises(StashRejected):
            await library.delete_files([str(first)])
        await library.merge_scenes(["2"], "1")
        await library.set_fingerprints(str(second), {"own": "abc", "phash": "ff"})
        assert {f.type: f.value for f in (await library.scene("1")).files[1].fingerprints}["own"] == "abc"
        await library.assign_file("3", str(second))
        assert str(second) in {f.id for f in (await library.scene("3")).files}
        await library.delete_files([str(second)])

    using(stash, use)
    assert second not in rows.files
    assert first in rows.files


def test_performers_are_removed(stash: FakeStash):
    using(stash, lambda library: library.destroy_performers(["1", "2"]))
    assert 1 not in stash.library.performers
    with pytest.raises((StashNotFound, StashRejected)):
        using(stash, lambda library: library.destroy_performers(["1"]))


@pytest.mark.parametrize("version", ["0.25", "0.31"])
def test_stashs_own_jobs(stash: FakeStash, version: str):
    stash.knobs.version = version
    stash.knobs.job_step_s = 0.05

    async def use(library: StashLibrary) -> None:
        first = await library.generate(["1", "2"], sprites=True, phashes=True)
        second = await library.scan_files()
        assert {first, second} >= {job.id for job in await library.jobs()}
        await library.stop_job(second)
        for _ in range(200):
            if not await library.jobs():
                break
            await asyncio.sleep(0.02)
        done = await library.job(first)
        assert (done.status, done.live) == ("FINISHED", False)
        with pytest.raises(StashNotFound):
            await library.job("999")

    using(stash, use)
    given = queries(stash, "metadataGenerate")[0].variables["input"]
    assert given["sceneIDs"] == ["1", "2"]
    assert [name for name, value in given.items() if value is True] == ["sprites", "phashes"]


def test_scenes_of_a_page_are_read_while_they_are_changed(stash: FakeStash):
    async def use(library: StashLibrary) -> list:
        found = []
        async for scene in library.scenes(page_size=10):
            await library.update_scene(scene.id, title=f"seen {scene.id}")
            found.append(scene.id)
        return found

    assert using(stash, use) == [str(i) for i in range(1, 61)]
    assert all(scene.title == f"seen {scene.id}" for scene in stash.library.scenes.values())
