"""Re-match of invented scans: what is matched anew, what stays, kills, other databases and rules; no models needed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import pipelines.rematch as rematch_module
from pipelines.errors import PackMismatch, StoreCorrupt
from pipelines.faces.catalogue import OPEN
from pipelines.folder_lock import alone_in
from pipelines.jobs import JobContext, RematchRequest, job_type, named_function
from pipelines.match_contents import ContentMatcher
from pipelines.match_options import identify_options, options_digest
from pipelines.rematch import RematchReport, current, rematch, run_job
from pipelines.rematch_due import due, read_marker
from pipelines.settings import Settings
from pipelines.store.matches import ContentMatch, MatchStore
from pipelines.store.performers import PerformerDatabase
from pipelines.store.sql import open_store
from pipelines.store.templates import ContentScan, ScanDataset, ScannedFaces
from tests.bench.match_library import RECIPE, Faces, enrol, scene_scan
from tests.store.conftest import postgres_cluster, postgres_url, sqlite_url, store_url  # noqa: F401 - fixtures
from tests.store.scans import failed, make_scan

PERFORMERS = 40


@dataclasses.dataclass
class Library:
    """A data folder with an invented library."""

    settings: Settings
    drawn: Faces

    @property
    def scans(self) -> ScanDataset:
        return ScanDataset(self.settings.scans_path)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.scans.write(scene_scan(self.drawn, number, PERFORMERS))

    def enrol(self, performers: int = PERFORMERS) -> str:
        return enrol(self.settings.database_path, self.drawn, performers, 3 * performers)

    def stored(self) -> dict[tuple[str, str], ContentMatch]:
        """All that is stored, without the time of matching."""
        store = open_store(self.settings.store_url)
        try:
            matches = MatchStore(store)
            found = {key: matches.get(*key) for key in matches.stamps()}
        finally:
            store.close()
        return {key: dataclasses.replace(m, matched_at=m.stamp.scanned_at) for key, m in found.items() if m}

    def table(self) -> list[dict]:
        marker = read_marker(self.settings.matches_path)
        assert marker is not None
        return pq.read_table(self.settings.matches_path / marker.file).to_pylist()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    made = Library(Settings(data_dir=tmp_path / "data"), Faces(PERFORMERS))
    made.enrol()
    return made


def image(number: int, scan: ContentScan, count: int, galleries: tuple[str, ...] = ()) -> ContentScan:
    """Returns an image with the first faces of a scene."""
    rows = np.arange(count)
    columns = {name: getattr(scan.faces, name)[rows] for name in ScannedFaces.__dataclass_fields__}
    columns |= {"frame": np.zeros(count, np.int32), "time_s": np.full(count, np.nan, np.float32)}
    return make_scan(
        number, kind="image", recipe=RECIPE, frames=1, faces=ScannedFaces(**columns),
        galleries=galleries, duration_s=float("nan"),
    )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def on_both(request, library, store_url_of):
    library.settings = library.settings.model_copy(update={"state_url": store_url_of(request.param)})
    return library


@pytest.fixture
def store_url_of(request):
    return lambda kind: request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url")


def test_everything_scanned_is_matched_once(on_both):
    library = on_both
    library.add(*range(6))
    library.scans.write(make_scan("empty", count=0, recipe=RECIPE))
    library.scans.write(failed("broken", recipe=RECIPE))
    library.scans.write(image(1, scene_scan(library.drawn, 99, PERFORMERS), 3))
    report = rematch(library.settings)
    assert (report.matched, report.up_to_date, report.removed, report.stopped) == (8, 0, 0, False)
    stored = library.stored()
    assert set(stored) == {("scene", str(n)) for n in range(6)} | {("scene", "empty"), ("image", "1")}
    assert stored["scene", "empty"].status == "no_face"
    assert stored["scene", "empty"].people == ()
    assert report.named == sum(p.universal_id is not None for m in stored.values() for p in m.people) > 0
    assert report.unknown == sum(p.universal_id is None for m in stored.values() for p in m.people) > 0
    picture = stored["image", "1"]
    assert [len(picture.people), picture.frames, picture.duration_s] == [3, 1, None]
    assert all(p.ranges == () and p.best_time_s is None and p.share == 1 for p in picture.people)
    again = rematch(library.settings)
    assert (again.matched, again.up_to_date) == (0, 8)
    assert library.stored() == stored


def test_people_are_who_is_in_the_scene(library):
    """Against the casts that were drawn, by the plain nearest mean of the enrolled photos."""
    library.add(*range(12))
    rematch(library.settings)
    gallery = PerformerDatabase(library.settings.database_path).load()
    for scan in library.scans.scans():
        stored = library.stored()["scene", scan.key.content_id]
        vectors = gallery.space.project(scan.faces.template.astype(np.float32))
        hits = gallery.search(scan.faces.template.astype(np.float32), 1)
        sure = hits.performers[hits.scores[:, 0] > 0.6, 0]
        expected = {universal_id for universal_id, _ in gallery.names(np.unique(sure)).values()}
        assert expected == {p.universal_id for p in stored.people if p.universal_id}, scan.key.content_id
        assert len(vectors) == stored.faces
        for person in stored.people:
            assert person.share == pytest.approx(person.frames / 60)
            assert person.ranges
            assert any(start <= person.best_time_s <= end for start, end in person.ranges)
            assert len(person.candidates) == library.settings.top_k


def test_only_what_changed_is_matched_again(library):
    library.add(1, 2, 3)
    rematch(library.settings)
    before = library.stored()
    changed = scene_scan(library.drawn, 2, PERFORMERS)
    other_file = dataclasses.replace(changed.key, file_fingerprint="oshash:new")
    library.scans.write(dataclasses.replace(changed, key=other_file, scanned_at=changed.scanned_at + timedelta(1)))
    library.add(4)
    report = rematch(library.settings)
    assert (report.matched, report.up_to_date) == (2, 2)
    after = library.stored()
    assert {key for key in after if after.get(key) != before.get(key)} == {("scene", "2"), ("scene", "4")}
    assert after["scene", "2"].stamp.file_fingerprint == "oshash:new"


def test_a_scan_that_is_gone_or_failed_leaves_nothing(library):
    library.add(1, 2, 3)
    rematch(library.settings)
    library.scans.forget("scene", ["1"])
    broken = failed(2, retryable=False, recipe=RECIPE, minutes=60 * 24 * 365)
    library.scans.write(broken)
    report = rematch(library.settings)
    assert (report.removed, report.up_to_date) == (2, 1)
    assert set(library.stored()) == {("scene", "3")}
    assert {row["content_id"] for row in library.table()} == {"3"}


def test_another_database_matches_all_and_forgets_who_is_not_enrolled(library):
    library.add(*range(8))
    first = rematch(library.settings)
    known = {p.universal_id for m in library.stored().values() for p in m.people}
    gone = {f"bench:{n}" for n in range(10, PERFORMERS)}
    assert known & gone
    assert due(library.settings) is None
    version = library.enrol(10)
    assert version in (due(library.settings) or "")
    second = rematch(library.settings)
    assert (second.database_version, second.matched) == (version, first.matched)
    stored = library.stored()
    people = [p for m in stored.values() for p in m.people]
    assert not {p.universal_id for p in people} & gone
    assert not {c.universal_id for p in people for c in p.candidates} & gone
    assert any(p.universal_id is None and p.candidates for p in people)
    assert due(library.settings) is None
    assert {row["universal_id"] for row in library.table()} == {p.universal_id for p in people}
    assert (library.settings.matches_path / f"{version}.parquet").exists()


def test_another_threshold_matches_all(library):
    library.add(1, 2)
    rematch(library.settings)
    strict = library.settings.model_copy(update={"min_unique_frames": 20})
    assert options_digest(strict) != options_digest(library.settings)
    assert options_digest(strict) in (due(strict) or "")
    assert current(strict, "scene", "1") is None
    assert rematch(strict).matched == 2
    assert due(strict) is None
    assert current(strict, "scene", "1") is not None
    assert all(p.frames >= 20 for m in library.stored().values() for p in m.people)


def test_whatever_names_people_is_in_the_digest(monkeypatch, library):
    """A change of the defaults or of a pack's calibration must not leave old answers standing."""
    before = options_digest(library.settings)
    options = identify_options(library.settings)
    changed = {"top_k": 7, "min_unique_frames": 3, "max_distance": 0.4, "min_unknown_quality": 0.2, "join_gap_s": 2.0}
    assert set(changed) | {"tagged_boost"} <= {f.name for f in dataclasses.fields(options)}
    for name, value in changed.items():
        other = dataclasses.replace(options, **{name: value})
        monkeypatch.setattr("pipelines.match_options.identify_options", lambda _, other=other: other)
        assert options_digest(library.settings) != before, name
    monkeypatch.setattr("pipelines.match_options.identify_options", lambda _: options)
    for name, value in (("accept_score", 0.5), ("same_person_score", 0.5), ("slope", 9.0), ("score_per_decade", 0.0)):
        pack = dataclasses.replace(OPEN, calibration=dataclasses.replace(OPEN.calibration, **{name: value}))
        monkeypatch.setattr("pipelines.match_options.get_pack", lambda _, pack=pack: pack)
        assert options_digest(library.settings) != before, name


def test_some_contents_only(library):
    library.add(1, 2, 3)
    report = rematch(library.settings, contents=[("scene", "2"), ("scene", "404")])
    assert report.matched == 1
    assert set(library.stored()) == {("scene", "2")}
    assert read_marker(library.settings.matches_path) is None
    assert due(library.settings) is not None
    rematch(library.settings)
    library.add(4)
    assert rematch(library.settings, contents=[("scene", "4")]).matched == 1
    assert {row["content_id"] for row in library.table()} == {"1", "2", "3", "4"}
    assert rematch(library.settings, contents=[("scene", "1")]).up_to_date == 1
    assert rematch(library.settings, contents=[("scene", "1")], full=True).matched == 1


def test_the_table_is_what_is_stored(library):
    library.add(*range(4))
    library.scans.write(make_scan("empty", count=0, recipe=RECIPE))
    rematch(library.settings)
    stored = library.stored()
    rows = library.table()
    nobody = [row for row in rows if row["rank"] is None]
    assert [row["content_id"] for row in nobody] == ["empty"]
    assert len(rows) == 1 + sum(len(m.people) for m in stored.values())
    for row in rows:
        if row["rank"] is not None:
            person = stored[row["kind"], row["content_id"]].people[row["rank"]]
            assert (row["universal_id"], row["name"], row["frames"]) == (
                person.universal_id,
                person.name,
                person.frames,
            )
            assert [(r["start_s"], r["end_s"]) for r in row["ranges"]] == list(person.ranges)


def test_without_performers_nothing_is_done(tmp_path):
    settings = Settings(data_dir=tmp_path)
    ScanDataset(settings.scans_path).write(make_scan(1, recipe=RECIPE, template_dim=OPEN.template_dim))
    report = rematch(settings)
    assert report == RematchReport(None, options_digest(settings))
    assert due(settings) is None


def test_scans_of_another_pack_wait_for_their_scan(library):
    library.scans.write(make_scan(1))
    library.add(2)
    assert rematch(library.settings).matched == 1
    assert set(library.stored()) == {("scene", "2")}


def test_a_database_of_another_pack_is_named(library):
    library.add(1)
    other = library.settings.model_copy(update={"pack": "open-dlib"})
    with pytest.raises(PackMismatch):
        rematch(other, full=True)


def test_a_damaged_scan_is_named(library):
    library.add(1)
    (path,) = (library.settings.scans_path / "pending").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(StoreCorrupt):
        rematch(library.settings)


def test_a_stopped_run_keeps_what_it_has_and_the_next_one_goes_on(library, monkeypatch):
    monkeypatch.setattr(rematch_module, "CHUNK_CONTENTS", 3)
    library.add(*range(10))
    seen = []
    report = rematch(library.settings, on_progress=seen.append, should_stop=lambda: len(seen) == 2)
    assert (report.matched, report.stopped) == (6, True)
    assert [(p["done"], p["total"]) for p in seen] == [(3, 10), (6, 10)]
    assert read_marker(library.settings.matches_path) is None
    report = rematch(library.settings)
    assert (report.matched, report.up_to_date, report.stopped) == (4, 6, False)
    assert due(library.settings) is None


def test_two_at_once_take_turns(library):
    library.add(*range(4))
    reports: list[RematchReport] = []
    threads = [threading.Thread(target=lambda: reports.append(rematch(library.settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.matched for r in reports) == [0, 4]


def test_who_waits_can_be_stopped(library):
    library.add(1)
    with alone_in(library.settings.matches_path) as first:
        assert first
        began = time.monotonic()
        assert rematch(library.settings, should_stop=lambda: True).stopped
        assert time.monotonic() - began < 5
    assert rematch(library.settings).matched == 1


def test_the_job_reports_and_obeys(library):
    library.add(1, 2)
    kind = job_type("rematch")
    assert named_function(kind.run) is run_job
    assert named_function(kind.due) is due
    told = []
    context = JobContext(library.settings, RematchRequest(), lambda *now: told.append(now), lambda: False)
    assert run_job(context)["matched"] == 2
    assert told[-1][:2] == (2, 2)
    again = dataclasses.replace(context, params=RematchRequest(contents=(("scene", "1"),), full=True))
    assert run_job(again)["matched"] == 1


def test_due_imports_nothing_heavy():
    code = (
        "import sys, pipelines.rematch_due as d\n"
        "from pipelines.settings import Settings\n"
        "heavy = {'numpy', 'pyarrow', 'faiss', 'onnxruntime', 'cv2', 'ray', 'scipy', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def same(found: dict[tuple[str, str], ContentMatch], expected: dict[tuple[str, str], ContentMatch]) -> bool:
    """Whether the rows are equal, scores up to the rounding of sums that depends on how many are searched at once."""
    assert {key: unscored(m) for key, m in found.items()} == {key: unscored(m) for key, m in expected.items()}
    return scores(found) == pytest.approx(scores(expected), abs=1e-5)


def unscored(match: ContentMatch) -> ContentMatch:
    people = [dataclasses.replace(p, confidence=None, distance=None, candidates=()) for p in match.people]
    return dataclasses.replace(match, people=tuple(people))


def scores(matches: dict[tuple[str, str], ContentMatch]) -> list[float]:
    people = [p for key in sorted(matches) for p in matches[key].people]
    return [x for p in people for x in (p.distance or 0, p.confidence or 0, *(c.distance for c in p.candidates))]


KILLED = """
import sys
import pipelines.rematch as module
from pipelines.settings import Settings
module.CHUNK_CONTENTS = 5
module.rematch(Settings(data_dir=sys.argv[1]), on_progress=lambda now: print(now["done"], flush=True))
print("complete", flush=True)
"""


def test_a_killed_run_leaves_whole_contents_and_the_next_one_the_same_rows(library, tmp_path):
    library.add(*range(40))
    expected = Library(Settings(data_dir=tmp_path / "calm"), library.drawn)
    expected.settings.data_dir.mkdir()
    for name in ("scans", "performer-db"):
        (expected.settings.data_dir / name).symlink_to(library.settings.data_dir / name)
    rematch(expected.settings)
    for kill_after in (1, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(library.settings.data_dir)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(kill_after):
            line = process.stdout.readline()
            assert line, "it ended by itself"
            if line.strip() == "complete":
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        partly, whole = library.stored(), expected.stored()
        assert same(partly, {key: whole[key] for key in partly})
    report = rematch(library.settings)
    assert 0 < report.matched < 40
    assert same(library.stored(), expected.stored())
    assert len(library.table()) == len(expected.table())


def test_a_gallery_is_named_when_asked(library):
    scenes = [scene_scan(library.drawn, n, PERFORMERS) for n in range(50, 54)]
    for number, scene in enumerate(scenes):
        library.scans.write(image(10 + number, scene, 8, ("7",)))
        library.scans.write(image(20 + number, scene, 5, ("7", "9")))
    library.scans.write(image(30, scenes[0], 5, ("9",)))
    library.scans.write(make_scan(40, kind="image", recipe=RECIPE, count=0, frames=1, galleries=("7",)))
    matcher = ContentMatcher(library.settings)
    people, scans = matcher.gallery_people("7")
    assert [s.key.content_id for s in scans] == ["10", "11", "12", "13", "20", "21", "22", "23", "40"]
    rematch(library.settings)
    single = {p.universal_id for s in scans for p in library.stored()["image", s.key.content_id].people}
    assert {p.match.universal_id for p in people if p.match} <= single
    assert {p.match.universal_id for p in people if p.match}
    assert max(p.frames for p in people) >= 2
    counted = np.concatenate([p.rows for p in people])
    assert len(np.unique(counted)) == len(counted) <= sum(len(s.faces) for s in scans)
    assert matcher.gallery_people("404") == ([], [])
