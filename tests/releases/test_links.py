"""Links between people of one release: who becomes one person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import ReleaseCorrupt, ReleaseGap
from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.conftest import Import, SmallRelease
from tests.releases.deltas import FULL, stashdb


def write_links(folder: Path, groups: object, aliases: object = None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "performer_links.json").write_text(json.dumps(groups))
    if aliases is not None:
        (folder / "aliases.json").write_text(json.dumps(aliases))


@pytest.mark.parametrize("where", ["in the bundle", "afterwards", "in one chain"])
def test_linked_people_become_one(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path, where: str
):
    groups = [
        ["pornbox:11", stashdb(1), "fansdb.cc:not-here"],
        [stashdb(2), stashdb(3), stashdb(4)],
        ["x:1", "y:2"],
        [stashdb(5), "local:7", 12, "no id"],
    ]
    aliases = {stashdb(1): ["Uno", "Alias of 1", "Person 1"], "fansdb.cc:not-here": ["Hidden"], "x:1": ["Nobody"]}
    folder = release2.folder if where == "in the bundle" else tmp_path / f"stash-sense2-links-{FULL}"
    write_links(folder, groups, aliases)
    if where == "in the bundle":
        report = import_new(release2.folder)
    elif where == "in one chain":
        report = import_new(release2.folder, folder)
    else:
        import_new(release2.folder)
        report = import_new(bundles.zip_folder(folder, tmp_path / f"{folder.name}.zip"))
    assert (report.release, dict(report.skipped)) == (FULL, {"unknown_links": 1})
    people = {row["universal_id"]: row for row in database.performers().to_pylist()}
    assert len(people) == 12 - 1 - 2
    one = people[stashdb(1)]
    assert one["ids"] == ["fansdb.cc:not-here", "pornbox:11", stashdb(1)]
    assert one["name"] == "Person 1"
    assert {"Uno", "Alias of 1", "Hidden", "Model 11"} <= set(one["aliases"])
    assert set(people[stashdb(2)]["ids"]) == {stashdb(2), stashdb(3), stashdb(4)}
    assert people[stashdb(5)]["ids"] == [stashdb(5)]
    gallery = database.load()
    hits = gallery.search(release2.vectors[[0, 10]], 1)  # of Person 1 and of Model 11
    assert len(set(hits.performers[:, 0].tolist())) == 1


def test_links_alone_need_a_release(import_new: Import, tmp_path: Path):
    write_links(tmp_path / "links", [])
    with pytest.raises(ReleaseGap, match="no full release"):
        import_new(tmp_path / "links")


@pytest.mark.parametrize(("groups", "aliases"), [({}, None), ([5], None), ([], []), ([], {"a:b": "c"})])
def test_links_that_are_none_are_refused(
    imported: SmallRelease, import_new: Import, tmp_path: Path, groups: object, aliases: object
):
    write_links(tmp_path / "links", groups, aliases)
    with pytest.raises(ReleaseCorrupt, match="json holds no"):
        import_new(tmp_path / "links")


def test_checksums_of_the_notes_must_hold_too(imported: SmallRelease, import_new: Import, tmp_path: Path):
    write_links(tmp_path / "links", [[stashdb(1), stashdb(2)]])
    right = bundles.sha256(tmp_path / "links/performer_links.json")
    with pytest.raises(ReleaseCorrupt, match=r"performer_links\.json is damaged"):
        import_new(tmp_path / "links", checksums={"performer_links.json": "0" * 64})
    import_new(tmp_path / "links", checksums={"performer_links.json": right})
