"""Erasure from scans, matches, crops and the database of an invented library; no models needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.enroll.stashbox_homes import box_folder
from pipelines.enroll.stashbox_ledger import Ledger, SeenPicture
from pipelines.erase import erase
from pipelines.errors import InputError
from pipelines.faces.catalogue import OPEN
from pipelines.match_contents import ContentMatcher
from pipelines.rematch import rematch
from pipelines.rematch_due import due
from pipelines.store.face_crops import FaceCrops
from pipelines.store.performers import PerformerDatabase
from pipelines.store.recommendations import Finding, RecommendationStore
from pipelines.store.sql import open_store
from tests.pipelines.test_rematch import Library, library  # noqa: F401 - a fixture

SCENES = range(10)


@pytest.fixture
def matched(library: Library) -> Library:  # noqa: F811
    library.add(*SCENES)
    library.scans.compact()
    library.add(*list(SCENES)[:3])
    rematch(library.settings)
    return library


def most_seen(library: Library) -> str:  # noqa: F811
    named = [p.universal_id for match in library.stored().values() for p in match.people if p.universal_id]
    return max(named, key=named.count)


def rows_of(library: Library, universal_id: str) -> dict[str, set[int]]:  # noqa: F811
    """Rows of the faces that naming gives a performer, by scene."""
    matcher = ContentMatcher(library.settings, everybody=True)
    scans = list(library.scans.scans())
    return {
        scan.key.content_id: rows
        for scan, people in zip(scans, matcher.people(scans), strict=True)
        if (rows := {int(r) for p in people if p.match and p.match.universal_id == universal_id for r in p.rows})
    }


def templates(library: Library) -> dict[str, np.ndarray]:  # noqa: F811
    return {scan.key.content_id: scan.faces.template for scan in library.scans.scans()}


@pytest.mark.parametrize("known", ["enrolled", "excluded", "of an older version", "unknown"])
def test_somebody_is_erased_wherever_anything_is_kept(matched: Library, known: str) -> None:
    universal_id = most_seen(matched)
    expected, before = rows_of(matched, universal_id), templates(matched)
    database = PerformerDatabase(matched.settings.database_path)
    stored = matched.stored()
    named = {k[1] for k, m in stored.items() if any(p.universal_id == universal_id for p in m.people)}
    mentions = sum(
        c.universal_id == universal_id
        for match in stored.values()
        for person in match.people
        if person.universal_id != universal_id
        for c in person.candidates
    )
    if known == "excluded":
        database.exclude([universal_id])
    elif known == "of an older version":
        database.exclude([universal_id])
        database.include([universal_id])
    elif known == "unknown":
        database.erase([universal_id])
    crop = matched.settings.data_dir / "crops" / "ab" / "cd.jpg"
    export = matched.settings.fetched_exports_path / ("0" * 32) / "recommendations.csv"
    export.parent.mkdir(parents=True)
    export.touch()
    crop.parent.mkdir(parents=True)
    crop.touch()
    report = erase(matched.settings, [universal_id])
    assert set(expected) == named
    assert (export.exists(), report.exports) == (False, 1)
    assert (report.contents, report.matches, report.candidates, report.crops) == (len(named), len(named), mentions, 1)
    assert report.match_rows == len(named) + mentions
    after = templates(matched)
    for content_id, rows in expected.items():
        others = np.delete(before[content_id], sorted(rows), axis=0)
        if known != "unknown":
            np.testing.assert_array_equal(after[content_id], others)
        # Without a database that knows the person, the faces that look like the best one: nearly all of them.
        own = before[content_id][sorted(rows)].view(np.uint16)
        left = sum((after[content_id].view(np.uint16) == row).all(axis=1).any() for row in own)
        assert left <= 0.2 * len(own)
    for content_id in set(before) - named:
        np.testing.assert_array_equal(after[content_id], before[content_id])
    assert report.scanned_faces == sum(map(len, before.values())) - sum(map(len, after.values()))
    assert not crop.exists()
    text = json.dumps([str(matched.stored()), *(pq.read_table(p).to_pylist() for p in parquet(matched))], default=str)
    assert f"{universal_id}'" not in text.replace('"', "'")
    assert (report.database.faces > 0) == (known != "unknown")
    assert all(universal_id not in database.performers(v)["universal_id"].to_pylist() for v in database.versions())
    assert due(matched.settings)
    again = rematch(matched.settings)
    assert again.matched == len(SCENES)
    assert universal_id not in {p.universal_id for m in matched.stored().values() for p in m.people}
    second = erase(matched.settings, [universal_id])
    assert (second.contents, second.scanned_faces, second.match_rows, second.database.versions) == (0, 0, 0, ())


def parquet(library: Library) -> list[Path]:  # noqa: F811
    return sorted(library.settings.matches_path.glob("*.parquet"))


def test_contents_keep_their_row_in_the_file_of_matches(matched: Library) -> None:
    before = {(r["kind"], r["content_id"]) for r in matched.table()}
    for universal_id in {p.universal_id for m in matched.stored().values() for p in m.people if p.universal_id}:
        erase(matched.settings, [universal_id])
        rows = matched.table()
        assert {(r["kind"], r["content_id"]) for r in rows} == before
        assert universal_id not in {r["universal_id"] for r in rows}
    assert not any(r["universal_id"] for r in matched.table())


def test_what_enrolments_kept_goes_too(matched: Library) -> None:
    ledger = Ledger(box_folder(matched.settings, "stashdb.org", OPEN), OPEN.template_dim)
    ledger.write(1, "0001", [SeenPicture("a", "https://x")])
    ledger.write(1, "0002", [SeenPicture("b", "https://y")])
    crops = FaceCrops(matched.settings.enrolled_crops_path, "stashdb.org")
    crops.put("stashdb.org:0001", "a", b"jpeg")
    crops.put("stashdb.org:0002", "b", b"jpeg")
    assert erase(matched.settings, ["stashdb.org:0001"]).crops == 1
    assert set(ledger.performers()) == {"0002"}
    assert (crops.keys("stashdb.org:0001"), crops.keys("stashdb.org:0002")) == (set(), {"b"})


def test_recommendations_that_name_somebody_go_too(matched: Library) -> None:
    store = open_store(matched.settings.store_url)
    kept = RecommendationStore(store)
    named = ("stashdb.org:0001", "stashdb.org:00011", "stashdb.org:0002")
    details = [{"people": [{"universal_id": one}]} for one in named]
    found = [Finding("scene", str(n), "f", "e", "Ann", "Seen.", 90.0, own) for n, own in enumerate(details)]
    kept.apply("unidentified_scene", 1, found)
    kept.dismiss_one(1, "forever")
    report = erase(matched.settings, ["stashdb.org:0001"])
    assert (report.recommendations, report.mentions) == (1, 0)
    assert [one.target_id for one in kept.page(sort="oldest").recommendations] == ["1", "2"]
    store.close()


def test_nobody_and_nonsense(matched: Library) -> None:
    for ids in ([], ["x"]):
        with pytest.raises(InputError):
            erase(matched.settings, ids)
    report = erase(matched.settings, ["stashdb.org:nobody"])
    assert (report.contents, report.scanned_faces, report.database.versions) == (0, 0, ())
    assert report.to_dict()["database"]["current"] == PerformerDatabase(matched.settings.database_path).current()
    assert due(matched.settings) is None
